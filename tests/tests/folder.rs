//! What may lie in a plugins folder, seen from outside: the command that lists it and the daemon
//! that serves it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use bulkhead_tests::cli;
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{self, fixture};
use bulkhead_tests::folder::{Folder, chmod};
use bulkhead_tests::{c, inotify};
use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};
use serde_json::json;

#[test]
fn a_folder_lists_plugins_and_what_is_none() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let good = fixtures::bytes(&fixture("fixture-misbehaves"));
    let mut foreign = good.clone();
    // The machine in the ELF header: 183 is aarch64, 62 is what tests run on.
    let other: u16 = if cfg!(target_arch = "aarch64") {
        62
    } else {
        183
    };
    foreign[18..20].copy_from_slice(&other.to_le_bytes());
    folder.put("text.so", b"no library at all");
    folder.put("half.so", &good[..good.len() / 2]);
    folder.put("foreign.so", &foreign);
    folder.put("empty.so", b"");
    let expected = "libfixture_misbehaves.so misbehaves\nempty.so: truncated\n\
                    foreign.so: wrong_platform\nhalf.so: truncated\ntext.so: not_a_library";
    check(&folder, expected);
}

#[test]
fn fd_12_a_pipe_does_not_hold_up_the_scan() {
    let folder = with_a_good_plugin();
    mkfifoat(CWD, folder.at("x.so"), Mode::from(0o644)).unwrap();
    check(&folder, "good.so good\nx.so: not_regular");
}

#[test]
fn fd_13_what_is_no_file_does_not_hide_the_others() {
    let folder = with_a_good_plugin();
    fs::create_dir(folder.at("folder.so")).unwrap();
    let _socket = UnixListener::bind(folder.at("socket.so")).unwrap();
    symlink("loop.so", folder.at("loop.so")).unwrap();
    symlink("nowhere", folder.at("nowhere.so")).unwrap();
    symlink("/dev/null", folder.at("device.so")).unwrap();
    let expected = "good.so good\ndevice.so: not_regular\nfolder.so: not_regular\n\
                    loop.so: unreadable\nnowhere.so: unreadable\nsocket.so: not_regular";
    check(&folder, expected);
}

#[test]
fn fd_13_a_device_of_its_own_is_no_plugin() {
    let folder = with_a_good_plugin();
    let zero = rustix::fs::makedev(1, 5);
    let made = mknodat(
        CWD,
        folder.at("zero.so"),
        FileType::CharacterDevice,
        Mode::from(0o644),
        zero,
    );
    // Only root may make one.
    if made.is_ok() {
        check(&folder, "good.so good\nzero.so: not_regular");
    }
}

#[test]
fn fd_14_a_file_that_is_too_large_is_not_read() {
    let folder = with_a_good_plugin();
    let file = File::create(folder.at("large.so")).unwrap();
    file.set_len(20 << 30).unwrap();
    let daemon = Daemon::start(&folder, LISTED_ONLY);
    let refused = refused(&daemon, "large.so");
    let expected = "too_large: it has 21474836480 bytes and a plugin may have 268435456; ";
    assert!(refused.starts_with(expected), "{refused}");
    assert!(daemon.resident() < 256 << 20);
}

#[test]
fn fd_15_temporary_and_foreign_names_are_not_opened() {
    let folder = with_a_good_plugin();
    let good = c::plugin("other").build();
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
    ] {
        fs::write(folder.at(name), &good).unwrap();
    }
    let opened = inotify::opened_during(&folder.path(), || check(&folder, "good.so good"));
    assert_eq!(opened, ["good.so"]);
}

#[test]
fn fd_17_a_folder_that_others_may_write_to_stops_the_start() {
    let check = |mode| {
        let folder = with_a_good_plugin();
        chmod(&folder.path(), mode);
        let path = folder.path();
        let said = format!(
            "bulkhead: the plugins folder is not safe: `{0}` may be written to by others (its mode \
             is {mode:04o}); mend it with `chmod go-w '{0}'`\n",
            path.display()
        );
        for command in ["plugins", "serve"] {
            let ended = start(command, &path, &folder.beside("state"));
            assert_eq!((ended.exit, ended.stderr.as_str()), (78, said.as_str()));
            assert_eq!(ended.stdout, "");
        }
    };
    check(0o777);
    check(0o775);
    check(0o757);
    check(0o1777);
}

#[test]
fn fd_17_a_folder_below_one_that_others_may_write_to_stops_the_start() {
    let folder = with_a_good_plugin();
    let parent = folder.path().parent().unwrap().to_owned();
    chmod(&parent, 0o777);
    let ended = start("serve", &folder.path(), &folder.beside("state"));
    chmod(&parent, 0o700);
    assert_eq!(ended.exit, 78, "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn fd_17_a_file_that_others_may_write_to_is_not_served() {
    let folder = with_a_good_plugin();
    let open = folder.put("open.so", &c::plugin("open").build());
    for mode in [0o646, 0o664] {
        chmod(&open, mode);
        check(&folder, "good.so good\nopen.so: unsafe_permissions");
    }
    let daemon = Daemon::start(&folder, LISTED_ONLY);
    let reason = refused(&daemon, "open.so");
    let mend = format!(
        "mend it with `chmod go-w '{}'`",
        folder.at("open.so").display()
    );
    assert!(reason.ends_with(&mend), "{reason}");
    let called = daemon.call("open", &json!({}));
    assert_eq!(called.status, 503);
    let told = called.body["error"]["details"]["reason"].as_str().unwrap();
    assert!(told.starts_with("unsafe_permissions: "), "{told}");
}

#[test]
fn fd_17_a_file_of_another_user_is_not_served() {
    let folder = with_a_good_plugin();
    let path = folder.put("theirs.so", &c::plugin("theirs").build());
    // Only root may give a file away.
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        check(&folder, "good.so good\ntheirs.so: unsafe_permissions");
    }
}

#[test]
fn fd_19_of_two_files_with_one_name_the_first_is_served() {
    let folder = Folder::new();
    for name in ["b.so", "a.so", "c.so"] {
        folder.put(name, &c::plugin("same").build());
    }
    let expected = "a.so same\nb.so: duplicate_name\nc.so: duplicate_name";
    check(&folder, expected);
    check(&folder, expected);
    let daemon = Daemon::start(&folder, LISTED_ONLY);
    let reason = refused(&daemon, "b.so");
    let expected = "duplicate_name: `a.so` holds a plugin of the same name and comes first; ";
    assert!(reason.starts_with(expected), "{reason}");
}

#[test]
fn fd_22_a_thousand_files_are_listed() {
    let folder = Folder::new();
    let sample = c::plugin("sample-0000").build();
    let at = find(&sample, b"sample-0000");
    for number in 0..1000 {
        let mut bytes = sample.clone();
        bytes[at..at + 11].copy_from_slice(format!("sample-{number:04}").as_bytes());
        folder.put(&format!("{number:04}.so"), &bytes);
    }
    let began = Instant::now();
    let items = cli::plugins(&folder);
    println!("1,000 files were listed in {:?}", began.elapsed());
    assert_eq!(items.len(), 1000);
    assert!(items.iter().all(|item| item["lifecycle"] == "LOADING"));
    assert_eq!(items[999]["name"], "sample-0999");
    let daemon = Daemon::start(&folder, LISTED_ONLY);
    let listed = daemon.get("/v1/plugins");
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1000);
}

#[test]
fn a_target_folder_of_cargo_is_a_plugins_folder() {
    let library = fixture("fixture-misbehaves");
    let folder = Folder::of(&library);
    fs::create_dir(folder.at("deps")).unwrap();
    fs::copy(&library, folder.at("deps/libother.so")).unwrap();
    fs::write(folder.at("libfixture_misbehaves.d"), "a: b").unwrap();
    fs::hard_link(
        folder.at("libfixture_misbehaves.so"),
        folder.at("deps/libfixture_misbehaves.so"),
    )
    .unwrap();
    check(&folder, "libfixture_misbehaves.so misbehaves");
}

/// Plugins made of C can be read and not be opened.
const LISTED_ONLY: &str = "plugins.preload = 0";

/// The same from the command and from the daemon.
fn check(folder: &Folder, expected: &str) {
    assert_eq!(cli::listed(folder), expected);
    let daemon = Daemon::start(folder, LISTED_ONLY);
    let answer = daemon.get("/v1/plugins");
    let items = answer.body["items"].as_array().unwrap();
    assert_eq!(cli::lines(items), expected);
}

fn refused(daemon: &Daemon, file: &str) -> String {
    let answer = daemon.get("/v1/plugins");
    let items = answer.body["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["file"] == file).unwrap();
    assert_eq!(item["lifecycle"], "REJECTED");
    item["reason"].as_str().unwrap().to_owned()
}

fn with_a_good_plugin() -> Folder {
    let folder = Folder::new();
    folder.put("good.so", &c::plugin("good").build());
    folder
}

fn start(command: &str, plugins: &Path, state: &Path) -> cli::Ended {
    let plugins = plugins.to_str().unwrap();
    let mut arguments = vec![command, "--plugins", plugins];
    if command == "serve" {
        let state = state.to_str().unwrap();
        arguments.extend(["--state", state, "--listen", "127.0.0.1:0"]);
    }
    cli::run(&arguments)
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|window| window == part).unwrap()
}
