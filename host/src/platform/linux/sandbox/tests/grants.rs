//! What an operator opens, and that it opens nothing beside.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{confined, confinement, in_child, parent, possible};
use crate::platform::{Confinement, confine, prove};

/// A folder that any user may enter and write to, with a file and a neighbour.
fn grounds() -> (TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let (granted, other) = (root.path().join("granted"), root.path().join("other"));
    for folder in [&granted, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "text").unwrap();
        fs::set_permissions(folder.join("file"), Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    }
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    (root, granted, other)
}

/// What may be done below `folder`: reading, listing, writing, creating and removing.
fn may(folder: &Path) -> [bool; 5] {
    let (file, new) = (folder.join("file"), folder.join("new"));
    let opened = File::options().append(true).open(&file);
    [
        fs::read(&file).is_ok(),
        fs::read_dir(folder).is_ok(),
        opened.is_ok(),
        fs::write(&new, "text")
            .and_then(|()| fs::write(&new, ""))
            .is_ok(),
        fs::remove_file(&new).is_ok(),
    ]
}

#[test]
fn a_grant_to_read_opens_what_it_names() {
    let (_root, granted, other) = grounds();
    let mut asked = confinement();
    asked.read = vec![granted.clone(), other.join("none")];
    let (in_force, (inside, outside)) = confined(&asked, || (may(&granted), may(&other)));
    assert_eq!(inside, [true, true, false, false, false]);
    assert_eq!(outside, [false; 5]);
    let missing = format!("{} (No such file", other.join("none").display());
    assert!(in_force.missing[0].starts_with(&missing), "{in_force:#?}");
}

#[test]
fn a_grant_of_one_file_opens_that_file() {
    let (_root, granted, _) = grounds();
    let mut asked = confinement();
    asked.read = vec![granted.join("file")];
    let (_, inside) = confined(&asked, || may(&granted));
    assert_eq!(inside, [true, false, false, false, false]);
}

#[test]
fn a_grant_to_write_opens_what_it_names() {
    let (_root, granted, other) = grounds();
    let mut asked = confinement();
    asked.write = vec![granted.clone()];
    let (_, (inside, outside, runs)) = confined(&asked, || {
        let script = granted.join("script");
        fs::write(&script, "#!/bin/true\n").unwrap();
        let mode = fs::set_permissions(&script, Permissions::from_mode(0o755)).is_ok();
        fs::remove_file(&script).unwrap();
        (may(&granted), may(&other), mode)
    });
    assert_eq!(inside, [true; 5]);
    assert_eq!(outside, [false; 5]);
    assert_eq!(runs, asked.uid.is_some(), "the mode of its own file");
}

#[test]
fn what_a_file_is_cannot_be_changed_past_landlock() {
    let (_root, granted, _) = grounds();
    let mut asked = confinement();
    // With the daemon's user, who owns the file.
    asked.uid = None;
    asked.read = vec![granted.clone()];
    let (_, (by_path, opened)) = confined(&asked, || {
        let file = granted.join("file");
        let mode = Permissions::from_mode(0o600);
        let opened = File::open(&file).unwrap().set_permissions(mode.clone());
        (fs::set_permissions(&file, mode).is_ok(), opened.is_ok())
    });
    assert!(!by_path && !opened);
}

#[test]
fn a_grant_of_the_network_opens_ip_and_its_files() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Confinement {
        network: true,
        ..confinement()
    };
    let (in_force, (connected, resolved, unix, passwd, attempts)) = confined(&asked, || {
        let connected = TcpStream::connect(address).map_err(|it| it.to_string());
        let hosts = fs::metadata("/etc/hosts").is_err() || fs::read("/etc/hosts").is_ok();
        let unix = UnixDatagram::unbound().is_ok();
        let passwd = fs::read("/etc/passwd").is_ok();
        let attempts = prove(&asked, parent());
        (connected.map(|_| ()), hosts, unix, passwd, attempts)
    });
    assert_eq!(connected, Ok(()));
    assert!(resolved && !unix && !passwd);
    assert_eq!(possible(&attempts), [""; 0], "{attempts:#?}");
    assert_eq!(in_force.missing, [""; 0]);
}

#[test]
fn only_the_variables_that_were_granted_are_set() {
    let mut asked = confinement();
    asked.uid = None;
    asked.env = BTreeMap::from([("MODEL".to_owned(), "a=b".to_owned())]);
    let (in_force, found, block) = in_child(|| {
        let library = File::open("/dev/null").unwrap();
        // Landlock closes it; this shows that there is nothing to see either.
        let mut shown = File::open("/proc/self/environ").unwrap();
        let in_force = confine(&asked, library.as_fd());
        let found: Vec<_> = std::env::vars().collect();
        let mut block = Vec::new();
        shown.read_to_end(&mut block).unwrap();
        (
            in_force,
            found,
            block.into_iter().filter(|it| *it != 0).count(),
        )
    });
    assert_eq!(found, [("MODEL".to_owned(), "a=b".to_owned())]);
    assert_eq!((block, in_force.missing), (0, Vec::new()));
}

#[test]
fn a_variable_that_no_system_can_hold_is_missing() {
    let mut asked = confinement();
    asked.env = BTreeMap::from([("A=B".to_owned(), String::new())]);
    let (in_force, ()) = confined(&asked, || ());
    assert_eq!(in_force.missing, ["environment (`A=B` cannot be set)"]);
}
