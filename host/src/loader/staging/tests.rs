use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::loader::samples::{self, chmod, good, named, write};

#[test]
fn a_good_library_is_kept_under_its_hash() {
    let (folder, area) = fixture();
    let staged = area.stage(&write(folder.path(), "it.so", good())).unwrap();
    assert_eq!(staged.file_name, "it.so");
    assert_eq!(
        staged.path.file_name().unwrap().to_str().unwrap(),
        format!("{}.so", staged.digest)
    );
    assert_eq!(fs::read(&staged.path).unwrap(), good());
    assert_eq!(staged.size, good().len() as u64);
    assert_eq!(mode(&staged.path), 0o555);
    assert_eq!(mode(&area.folder), 0o700);
    assert_eq!(left(&area), 1, "no temporary file stays");
}

#[test]
fn equal_files_share_a_copy_and_a_damaged_copy_is_replaced() {
    let (folder, area) = fixture();
    let first = area.stage(&write(folder.path(), "a.so", good())).unwrap();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let before = inode(&first.path);
    let second = area.stage(&write(folder.path(), "b.so", good())).unwrap();
    assert_eq!(
        (second.path.as_path(), inode(&second.path)),
        (first.path.as_path(), before)
    );
    fs::remove_file(&first.path).unwrap();
    File::create(&first.path).unwrap();
    area.stage(&folder.path().join("a.so")).unwrap();
    assert_eq!(fs::read(&first.path).unwrap(), good());
}

#[test]
fn what_is_not_kept_is_removed() {
    let (folder, area) = fixture();
    let stage = |name, bytes: &[u8]| area.stage(&write(folder.path(), name, bytes)).unwrap();
    let (kept, other) = (stage("a.so", good()), stage("b.so", &named("sample-0001")));
    write(&area.folder, "0123.so", b"an older build");
    write(&area.folder, ".staging-abc", b"half a copy");
    area.keep_only(&HashSet::from([kept.digest, digest(b"never seen")]));
    assert_eq!(left(&area), 1);
    assert!(kept.path.exists() && !other.path.exists());
    area.stage(&folder.path().join("b.so")).unwrap();
    assert!(other.path.exists(), "it is kept again when it is staged");
}

#[test]
fn a_kept_copy_is_as_good_as_its_file() {
    let (folder, area) = fixture();
    let file = write(folder.path(), "a.so", good());
    let staged = area.stage(&file).unwrap();
    fs::remove_file(file).unwrap();
    let again = area.restage(staged.digest, "a.so").unwrap();
    assert_eq!(format!("{again:?}"), format!("{staged:?}"));
}

#[test]
fn a_kept_copy_that_is_gone_or_damaged_is_refused() {
    let (folder, area) = fixture();
    let file = write(folder.path(), "a.so", good());
    let Staged { digest, path, .. } = area.stage(&file).unwrap();
    let check = |expected: &str| {
        let refused = area.restage(digest, "a.so").unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    };
    let damage = |bytes: &[u8]| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    damage(&good()[1..]);
    check("a.so: copy_damaged: its private copy is damaged: its hash is ");
    damage(&named("sample-0001"));
    check("a.so: copy_damaged: ");
    damage(b"");
    check("a.so: copy_damaged: ");
    fs::remove_file(&path).unwrap();
    check("a.so: copy_gone: ");
    area.stage(&file).unwrap();
    area.restage(digest, "a.so").unwrap();
}

#[test]
fn a_copy_that_this_host_would_not_take_is_not_taken_back() {
    let (_folder, area) = fixture();
    let bytes = b"a library of another time";
    fs::write(area.place(digest(bytes)), bytes).unwrap();
    let refused = area.restage(digest(bytes), "a.so").unwrap_err();
    assert_eq!(refused.rejection.reason(), "not_a_library");
}

/// The child of the test below: its state is a file system without room for a plugin.
#[test]
#[ignore = "runs where the test below has mounted a small file system"]
fn on_a_full_disk() {
    let state = PathBuf::from(std::env::var_os("BULKHEAD_TEST_FULL_DISK").unwrap());
    let folder = samples::folder();
    let area = StagingArea::open(&state).unwrap();
    let refused = area
        .stage(&write(folder.path(), "a.so", good()))
        .unwrap_err();
    assert_eq!(refused.plugin.as_ref().unwrap().as_str(), samples::NAME);
    let text = refused.to_string();
    assert!(
        text.contains("copy_failed: no private copy of it could be kept in `"),
        "{text}"
    );
    assert!(text.contains("No space left on device"), "{text}");
    assert!(
        text.ends_with("; make room there, and it is tried again"),
        "{text}"
    );
    assert!(refused.rejection.is_passing());
    assert_eq!(left(&area), 0, "no half of a copy stays");
    println!("it was full");
}

#[test]
fn a_full_disk_is_named_and_nothing_of_a_copy_stays() {
    let state = samples::folder();
    let script = r#"mount -t tmpfs -o size=8k none "$BULKHEAD_TEST_FULL_DISK" || exit 77
        exec "$0" --exact loader::staging::tests::on_a_full_disk --ignored --nocapture"#;
    let child = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("BULKHEAD_TEST_FULL_DISK", state.path())
        .output();
    match child {
        Ok(child) if child.status.code() == Some(0) => {
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(said.contains("it was full"), "{said}");
        }
        // Its own message is in the output of libtest.
        Ok(child) if child.status.code() == Some(101) => panic!("{child:?}"),
        other => eprintln!("nothing can be mounted here: {other:?}"),
    }
}

#[test]
fn a_state_folder_that_others_may_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    chmod(&state, 0o777);
    let error = StagingArea::open(&state).unwrap_err().to_string();
    assert!(
        error.starts_with("the state folder is not safe: "),
        "{error}"
    );
    chmod(&state, 0o755);
    StagingArea::open(&state).unwrap();
}

#[test]
fn a_refusal_names_the_plugin_where_it_can() {
    let (folder, area) = fixture();
    let refused = |bytes: &[u8]| {
        area.stage(&write(folder.path(), "it.so", bytes))
            .unwrap_err()
    };
    let cut = refused(&good()[..good().len() - 1]);
    assert_eq!(cut.plugin.as_ref().unwrap().as_str(), samples::NAME);
    assert!(
        cut.to_string()
            .starts_with("it.so: truncated: the file ends at byte "),
        "{cut}"
    );
    let text = refused(b"hello");
    assert_eq!(
        (text.plugin, text.rejection.reason()),
        (None, "not_a_library")
    );
    assert_eq!(left(&area), 0, "nothing of it stays");
}

#[test]
fn fd_12_a_pipe_is_refused_at_once() {
    let (folder, area) = fixture();
    let path = folder.path().join("x.so");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let start = Instant::now();
    check(&area, &path, "not_regular", "a named pipe");
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[test]
fn fd_14_a_huge_file_is_refused_unread() {
    let (folder, area) = fixture();
    let path = samples::sparse(folder.path(), "x.so", 20 << 30);
    let start = Instant::now();
    check(
        &area,
        &path,
        "too_large",
        "it has 21474836480 bytes and a plugin may have 268435456",
    );
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "reading it takes seconds"
    );
}

#[test]
fn fd_17_a_file_that_others_can_write_is_refused() {
    let (folder, area) = fixture();
    let path = write(folder.path(), "it's.so", good());
    for bits in [0o020, 0o002] {
        chmod(&path, 0o644 | bits);
        check(&area, &path, "unsafe_permissions", "chmod go-w '");
        check(&area, &path, "unsafe_permissions", r"it'\''s.so'");
    }
    chmod(&path, 0o644);
    area.stage(&path).unwrap();
}

#[test]
fn fd_17_a_file_of_another_user_is_refused() {
    let (folder, area) = fixture();
    let path = write(folder.path(), "x.so", good());
    if chown(&path, Some(12_345), None).is_ok() {
        check(&area, &path, "unsafe_permissions", "belongs to user 12345");
        check(&area, &path, "unsafe_permissions", "mend it with `chown ");
    }
}

#[test]
fn fd_17_a_link_into_a_folder_that_others_can_write_is_refused() {
    let (folder, area) = fixture();
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    write(&open, "real", good());
    let link = folder.path().join("x.so");
    symlink(open.join("real"), &link).unwrap();
    area.stage(&link).unwrap();
    chmod(&open, 0o777);
    check(&area, &link, "unsafe_permissions", "open'");
    // No change of the file itself tells when that is mended.
    assert!(area.stage(&link).unwrap_err().rejection.is_passing());
    chmod(&open, 0o755);
    chmod(&open.join("real"), 0o666);
    assert!(!area.stage(&link).unwrap_err().rejection.is_passing());
}

fn fixture() -> (tempfile::TempDir, StagingArea) {
    let folder = samples::folder();
    let area = StagingArea::open(&folder.path().join("state")).unwrap();
    (folder, area)
}

fn check(area: &StagingArea, path: &Path, reason: &str, text: &str) {
    let refused = area.stage(path).unwrap_err();
    assert_eq!(refused.rejection.reason(), reason, "{refused}");
    assert!(
        refused.to_string().contains(text),
        "{refused}\nshould say: {text}"
    );
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn left(area: &StagingArea) -> usize {
    area.folder.read_dir().unwrap().count()
}
