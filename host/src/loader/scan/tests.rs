use std::collections::BTreeSet;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::loader::samples::{self, chmod, good, named, opened_during, write};

#[test]
fn a_folder_gives_its_plugins_and_its_refusals() {
    let fixture = Fixture::new();
    write(fixture.folder(), "b.so", &named("sample-0002"));
    write(fixture.folder(), "a.so", &named("sample-0001"));
    write(fixture.folder(), "c.so", b"hello");
    fixture.check("a.so sample-0001\nb.so sample-0002\nc.so: not_a_library");
}

#[test]
fn a_build_folder_is_a_plugins_folder() {
    let fixture = Fixture::new();
    write(fixture.folder(), "libqr.so", good());
    write(fixture.folder(), "libqr.d", b"libqr.so: src/lib.rs");
    std::fs::create_dir(fixture.folder().join("deps")).unwrap();
    write(&fixture.folder().join("deps"), "libqr.so", good());
    let macros = samples::Sample {
        manifest: None,
        ..Default::default()
    }
    .build();
    write(fixture.folder(), "libmacros.so", &macros);
    fixture.check("libqr.so sample-0000\nlibmacros.so: no_manifest");
}

#[test]
fn fd_13_what_is_no_file_never_hides_the_others() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.folder().join(name);
    write(fixture.folder(), "good.so", good());
    std::fs::create_dir(at("folder.so")).unwrap();
    let _socket = UnixListener::bind(at("socket.so")).unwrap();
    symlink("/dev/null", at("device.so")).unwrap();
    symlink("loop.so", at("loop.so")).unwrap();
    symlink("nowhere", at("dangling.so")).unwrap();
    fixture.check(
        "good.so sample-0000\ndangling.so: unreadable\ndevice.so: not_regular\nfolder.so: not_regular\nloop.so: unreadable\nsocket.so: not_regular",
    );
}

#[test]
fn fd_15_temporary_and_foreign_names_are_never_opened() {
    let fixture = Fixture::new();
    for name in [
        ".x.so",
        "x.so.tmp",
        "x.so~",
        ".x.so.swp",
        "x.so.part",
        "x.so.dpkg-new",
        "4913",
        ".nfs0001",
        "X.SO",
        "libx.so.1.2",
        ".so",
        "#x.so#",
        "so",
    ] {
        write(fixture.folder(), name, good());
    }
    write(fixture.folder(), "control.so", good());
    let opened = opened_during(fixture.folder(), || fixture.check("control.so sample-0000"));
    assert_eq!(opened, BTreeSet::from(["control.so".to_owned()]));
}

#[test]
fn fd_17_a_folder_that_others_can_write_is_refused() {
    let fixture = Fixture::new();
    for mode in [0o775, 0o757, 0o1777] {
        chmod(fixture.folder(), mode);
        fixture.refused(&format!("plugins` may be written to by others (its mode is {mode:04o}); mend it with `chmod go-w '"));
    }
    chmod(fixture.folder(), 0o755);
    fixture.check("");
    chmod(fixture.0.path(), 0o777);
    fixture.refused("may be written to by others (its mode is 0777)");
}

#[test]
fn fd_17_a_folder_of_another_user_is_refused() {
    let fixture = Fixture::new();
    if chown(fixture.folder(), Some(12_345), None).is_ok() {
        fixture.refused("belongs to user 12345");
        chown(fixture.folder(), Some(0), None).unwrap();
        chown(fixture.0.path(), Some(12_345), None).unwrap();
        fixture.refused("belongs to user 12345");
    }
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let fixture = Fixture::new();
    std::fs::remove_dir(fixture.folder()).unwrap();
    fixture.refused("plugins` does not exist; make it");
    write(fixture.0.path(), "plugins", b"");
    fixture.refused("cannot read the plugins folder");
}

#[test]
fn fd_19_of_two_files_with_one_name_the_first_wins_every_time() {
    let fixture = Fixture::new();
    write(fixture.folder(), "b.so", good());
    write(
        fixture.folder(),
        "a.so",
        &samples::Sample {
            flags: &["-s"],
            ..Default::default()
        }
        .build(),
    );
    write(fixture.folder(), "c.so", good());
    for _ in 0..20 {
        fixture.check("a.so sample-0000\nb.so: duplicate_name\nc.so: duplicate_name");
    }
    let scan = fixture.scan().unwrap();
    assert!(
        scan.refused[0]
            .to_string()
            .contains("`a.so` holds a plugin of the same name")
    );
    assert_eq!(
        scan.refused[0].plugin.as_ref().unwrap().as_str(),
        samples::NAME
    );
}

#[test]
fn fd_22_a_thousand_files_are_scanned_in_time() {
    let fixture = Fixture::new();
    for number in 0..1_000 {
        let name = format!("sample-{number:04}");
        write(fixture.folder(), &format!("{name}.so"), &named(&name));
    }
    for round in ["copied", "kept"] {
        let start = Instant::now();
        assert_eq!(fixture.scan().unwrap().staged.len(), 1_000);
        let took = start.elapsed();
        eprintln!("1,000 files, {round}: {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

/// A folder `plugins` in a folder of its own, and a state beside it.
struct Fixture(TempDir, PathBuf, Arc<StagingArea>);

impl Fixture {
    fn new() -> Self {
        let root = samples::folder();
        let folder = root.path().join("plugins");
        std::fs::create_dir(&folder).unwrap();
        chmod(&folder, 0o755);
        let area = StagingArea::open(&root.path().join("state")).unwrap();
        Self(root, folder, Arc::new(area))
    }

    fn folder(&self) -> &Path {
        &self.1
    }

    fn scan(&self) -> Result<Scan, ScanError> {
        scan(&self.1, &self.2)
    }

    fn check(&self, expected: &str) {
        let scan = self.scan().unwrap();
        let staged = scan
            .staged
            .iter()
            .map(|it| format!("{} {}", it.file_name, it.manifest.name));
        let refused = scan
            .refused
            .iter()
            .map(|it| format!("{}: {}", it.file, it.rejection.reason()));
        assert_eq!(
            staged.chain(refused).collect::<Vec<_>>().join("\n"),
            expected
        );
    }

    fn refused(&self, expected: &str) {
        let error = self.scan().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
    }
}
