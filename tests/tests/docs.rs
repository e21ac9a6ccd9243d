//! What the documents tell people to type is typed: each page's `sh` blocks are run as one script, by bash with
//! `set -euo pipefail`, beside a daemon with the first-party plugins.
//!
//! A page says `127.0.0.1:8077` for the daemon; here it has another port. What would change the machine (`sudo`, `apt`,
//! `systemctl`) is a stub, which only shows that the line can be read by a shell.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{bulkhead, fixture, workspace};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::postgres::Postgres;

/// Commands that are not run, with what they print instead.
const STUBS: [(&str, &str); 9] = [
    ("sudo", ""),
    ("apt", ""),
    ("apt-get", ""),
    ("systemctl", ""),
    ("journalctl", ""),
    ("psql", ""),
    ("cargo", ""),
    ("promtool", ""),
    ("xdg-open", ""),
];
const PLUGINS: [&str; 5] = ["image-info", "palette", "phash", "qr", "thumbnail"];
/// Where the documents' daemon listens.
const ADDRESS: &str = "127.0.0.1:8077";
/// What a page that starts daemons of its own has them listen on.
const FURTHER: [&str; 3] = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];

/// A place in which a page is tried.
struct Scene {
    daemon: Daemon,
    place: PathBuf,
    _folder: Folder,
}

impl Scene {
    fn new() -> Self {
        let folder = PLUGINS.iter().fold(Folder::new(), |folder, plugin| {
            folder.with(&fixture(plugin))
        });
        let daemon = Daemon::start(&folder, "");
        let place = folder.beside("place");
        furnish(&place, &folder);
        Self {
            daemon,
            place,
            _folder: folder,
        }
    }

    /// The configuration that the page of many hosts has one write; nothing, aloud, where there is no PostgreSQL.
    fn share_a_database(&self) -> bool {
        let Some(server) = Postgres::shared() else {
            return false;
        };
        let store = server.database();
        let config = format!("[jobs]\nstore = \"{store}\"\n");
        fs::write(self.place.join("bulkhead.toml"), config).unwrap();
        true
    }

    /// Runs a script to its end; what it said where it did not go well.
    fn run(&self, script: &str) -> Result<(), String> {
        let address = self.daemon.address().to_string();
        let mut script = script.replace(ADDRESS, &address);
        for further in FURTHER {
            script = script.replace(further, &free());
        }
        // What was left running is ended with the script.
        let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\nset -x\n{script}");
        let path = format!(
            "{}:{}",
            self.place.join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(&self.place)
            .env("PATH", path)
            .env("HOME", &self.place)
            .env("BULKHEAD_SERVER_LISTEN", &address)
            .env_remove("BULKHEAD_TEST_POSTGRES")
            .env_remove("BULKHEAD_FIXTURES")
            .env_remove("BULKHEAD_BIN")
            .env_remove("BULKHEAD_FAILPOINTS")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if output.status.success() {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(format!(
            "{}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        ))
    }
}

/// What readers of the documents have in their folder.
fn furnish(place: &Path, folder: &Folder) {
    let pictures = workspace().join("tests/pictures");
    for made in [
        "bin",
        "target/release",
        "target/quickstart",
        "host/packaging",
        "tests",
        "pics",
        "holiday",
        "scans",
    ] {
        fs::create_dir_all(place.join(made)).unwrap();
    }
    symlink(bulkhead(), place.join("bin/bulkhead")).unwrap();
    symlink(bulkhead(), place.join("target/release/bulkhead")).unwrap();
    symlink(folder.path(), place.join("plugins")).unwrap();
    symlink(folder.path(), place.join("target/quickstart/plugins")).unwrap();
    symlink(&pictures, place.join("tests/pictures")).unwrap();
    for (name, picture) in [
        ("picture.jpg", "rocket.jpg"),
        ("a.jpg", "rocket.jpg"),
        ("b.jpg", "chelsea-exif.jpg"),
        ("ticket.png", "qr-ticket.png"),
        ("chelsea.png", "chelsea.png"),
        ("pics/coffee.png", "coffee.png"),
        ("holiday/rocket.jpg", "rocket.jpg"),
        ("scans/ticket.png", "qr-ticket.png"),
    ] {
        fs::copy(pictures.join(picture), place.join(name)).unwrap();
    }
    fs::copy(fixture("phash"), place.join("phash.so")).unwrap();
    let example = workspace().join("host/packaging/bulkhead.toml");
    fs::copy(example, place.join("bulkhead.toml")).unwrap();
    // An answer that is an error is one for the reader too.
    write_command(
        &place.join("bin/curl"),
        "exec /usr/bin/curl --fail-with-body \"$@\"",
    );
    let stubs = STUBS
        .iter()
        .map(|(name, said)| (format!("bin/{name}"), *said));
    // These are the two commands of the README: the first is tried by hand, the second runs this.
    let commands = [
        "tests/quickstart",
        "tests/run",
        "tests/long",
        "host/packaging/build-deb",
    ]
    .map(|name| (name.to_owned(), ""));
    for (name, said) in stubs.chain(commands) {
        write_command(&place.join(name), &format!("printf '%s' '{said}'"));
    }
}

fn write_command(path: &Path, line: &str) {
    fs::write(path, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The `sh` blocks of a page, one after the other.
fn script(page: &str) -> String {
    let mut script = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.trim_end() {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            _ if is_inside => script += &format!("{line}\n"),
            _ => {}
        }
    }
    script
}

fn pages() -> Vec<PathBuf> {
    let docs = workspace().join("docs");
    let mut pages: Vec<_> = fs::read_dir(docs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(workspace().join("README.md"));
    pages.sort();
    pages
}

#[test]
fn every_command_in_the_documents_works() {
    let mut failed = Vec::new();
    let mut lines = 0;
    for path in pages() {
        let script = script(&fs::read_to_string(&path).unwrap());
        lines += script
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        if script.is_empty() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let scene = Scene::new();
        if name == "many-hosts.md" && !scene.share_a_database() {
            continue;
        }
        if let Err(said) = scene.run(&script) {
            failed.push(format!("{name}:\n{said}"));
        }
    }
    assert!(lines > 20, "only {lines} lines of commands were found");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// A block that is not run would be where commands rot.
#[test]
fn commands_stand_in_blocks_that_are_run() {
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        let mut fence = None;
        for (line, number) in page.lines().zip(1..) {
            match (line.strip_prefix("```"), fence) {
                (Some(_), Some(_)) => fence = None,
                (Some(kind), None) => fence = Some(kind.to_owned()),
                (None, Some(ref kind)) if kind != "sh" => {
                    let is_command = ["bulkhead ", "curl ", "$ ", "sudo "]
                        .iter()
                        .any(|start| line.starts_with(start));
                    assert!(
                        !is_command,
                        "{}:{number}: not in a `sh` block",
                        path.display()
                    );
                    fence = Some(kind.clone());
                }
                (None, open) => fence = open,
            }
        }
    }
}

#[test]
fn a_page_that_is_wrong_is_noticed() {
    let scene = Scene::new();
    for wrong in [
        "bulkhead no-such-command",
        "curl --fail --silent http://127.0.0.1:8077/no-such-route",
        "bulkhead analyze no-such-plugin a.jpg --plugins plugins",
    ] {
        assert!(scene.run(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        script("```sh\na\nb\n```\n```toml\nc\n```\n```sh\nd\n```\n"),
        "a\nb\nd\n"
    );
}

/// Every file that a page links to is there.
#[test]
fn links_lead_somewhere() {
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for link in page.split("](").skip(1) {
            let target = link.split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = path.parent().unwrap().join(target);
            assert!(file.exists(), "{}: {target}", path.display());
        }
    }
}
