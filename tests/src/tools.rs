//! The ways in which people put a file where another one was: real programs, run as they run them. A
//! tool that is not installed is skipped aloud.

use std::env;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// One way to put a file somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// What it is called in a test's output.
    pub name: &'static str,
    /// The programs that it needs, beside those that every system has.
    needs: &'static [&'static str],
    /// For a shell, which knows `$from`, `$to`, a folder `$near` on the same file system as `$to`, and
    /// a folder `$far` on another one.
    script: &'static str,
}

const fn tool(name: &'static str, script: &'static str) -> Tool {
    Tool {
        name,
        needs: &[],
        script,
    }
}

/// All of them.
pub const TOOLS: &[Tool] = &[
    tool("cp", r#"cp "$from" "$to""#),
    tool(
        "cp -p",
        r#"touch -d '2020-01-01' "$from"; cp -p "$from" "$to""#,
    ),
    tool(
        "cp --remove-destination",
        r#"cp --remove-destination "$from" "$to""#,
    ),
    tool("mv", r#"cp "$from" "$near/it"; mv "$near/it" "$to""#),
    tool(
        "mv from elsewhere",
        r#"cp "$from" "$far/it"; mv "$far/it" "$to""#,
    ),
    tool("install", r#"install -m 755 "$from" "$to""#),
    tool("ln -f", r#"ln -f "$from" "$to""#),
    tool("ln -sf", r#"ln -sf "$from" "$to""#),
    tool("ln -sfn of a folder", LINKED_FOLDER),
    Tool {
        needs: &["rsync"],
        ..tool("rsync", r#"rsync --checksum "$from" "$to""#)
    },
    Tool {
        needs: &["rsync"],
        ..tool(
            "rsync --inplace",
            r#"rsync --checksum --inplace --no-whole-file "$from" "$to""#,
        )
    },
    tool("tar", TAR),
    tool("dd in slow pieces", SLOW_PIECES),
    tool("cat", r#"cat "$from" > "$to""#),
    Tool {
        needs: &["scp"],
        ..tool("scp", r#"scp -q "$from" "$to""#)
    },
    Tool {
        needs: &["curl"],
        ..tool("curl", r#"curl --silent --output "$to" "file://$from""#)
    },
    tool("sed -i", SED),
    tool(
        "truncate, then write",
        r#": > "$to"; sleep 0.1; cat "$from" > "$to""#,
    ),
    tool("allocate, then write", ALLOCATED),
    tool(
        "cp, then touch",
        r#"cp "$from" "$to"; touch -d '2020-01-01' "$to""#,
    ),
    tool(
        "dpkg",
        r#"cp "$from" "$to.dpkg-new"; ln -f "$to" "$to.dpkg-tmp"; mv -f "$to.dpkg-new" "$to"; rm -f "$to.dpkg-tmp""#,
    ),
    tool(
        "an editor that moves the old aside",
        r#"mv "$to" "$to~"; cat "$from" > "$to"; rm "$to~""#,
    ),
    tool(
        "an editor that copies the old aside",
        r#"cp "$to" "$to~"; cat "$from" > "$to"; rm "$to~""#,
    ),
    Tool {
        needs: &["vim"],
        ..tool("vim", VIM)
    },
];

/// A link to a file in a folder of versions, of which another link says which one is current: a swap
/// changes nothing in the plugins folder.
const LINKED_FOLDER: &str = r#"
    version=$(mktemp -d "$near/version.XXXXXX"); chmod 755 "$version"
    cp "$from" "$version/it.so"
    current="$(dirname "$from")/current"
    ln -sfn "$version" "$current"
    [ "$(readlink "$to")" = "$current/it.so" ] || ln -sf "$current/it.so" "$to""#;

const TAR: &str = r#"
    cp "$from" "$near/$(basename "$to")"
    tar -C "$near" -cf "$near/it.tar" "$(basename "$to")"
    tar -C "$(dirname "$to")" -xf "$near/it.tar""#;

const SLOW_PIECES: &str = r#"
    piece=$(($(stat -c %s "$from") / 8 + 1)); : > "$to"
    for at in 0 1 2 3 4 5 6 7; do
        dd if="$from" of="$to" bs="$piece" count=1 skip="$at" seek="$at" conv=notrunc status=none
        sleep 0.1
    done"#;

/// A program that edits in place writes a file beside it and renames that.
const SED: &str = r#"LC_ALL=C sed -i -e "1r $from" -e d "$to""#;

/// The size is right from the start, the bytes come later.
const ALLOCATED: &str = r#"
    truncate -s 0 "$to"; truncate -s "$(stat -c %s "$from")" "$to"
    sleep 0.1; cat "$from" 1<> "$to""#;

const VIM: &str = r#"vim -u NONE -es -b --cmd 'set noswapfile' -c "w! $to" -c 'q!' "$from""#;

impl Tool {
    /// Puts the file `from` to where `to` is, if it is installed; else says so, and gives false.
    ///
    /// # Panics
    /// When it fails.
    pub fn put(&self, from: &Path, to: &Path) -> bool {
        if let Some(missing) = self.needs.iter().find(|program| !is_installed(program)) {
            eprintln!("SKIPPED: {}, for {missing} is not installed", self.name);
            return false;
        }
        let folder = from.parent().expect("a file is in a folder");
        let near = tempfile::tempdir_in(folder).unwrap();
        let far = elsewhere();
        let output = Command::new("bash")
            .args(["-eu", "-c", self.script])
            .env("from", from)
            .env("to", to)
            .env("near", near.path())
            .env("far", far.path())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {words}", self.name);
        // Links may lead there.
        let _ = near.keep();
        true
    }
}

/// A folder in memory, where there is one: then it is another file system.
fn elsewhere() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path);
    folders.any(|folder| folder.join(program).is_file())
}
