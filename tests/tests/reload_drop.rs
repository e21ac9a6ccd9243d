//! What is put into the folder of a daemon that runs: plugins are taken in once they are whole, all else
//! is told and left alone, and what serves goes on.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, SystemTime};

use bulkhead_tests::builds::{BUILDS, Build, FILE};
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::folder::{Folder, chmod};
use bulkhead_tests::load::{Load, Shape};
use bulkhead_tests::reload::{QUICK, Scene};
use bulkhead_tests::{c, inotify, wait};
use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};
use serde_json::{Value, json};

/// How much of a file comes at a time, and how long it takes to the next: longer than a file of a quick
/// daemon has to stand still.
const PIECE: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn fd_04_what_comes_slowly_is_taken_in_once_it_is_whole() {
    let folder = Folder::new();
    let daemon = Daemon::start(&folder, QUICK);
    let events = daemon.events();
    let file = write_slowly(&folder, 1);
    assert_eq!(daemon.call(BUILDS, &json!({})).status, 404);
    drop(file);
    let serves = |number: u16| {
        wait::until("the build to serve", || {
            let answer = daemon.call(BUILDS, &json!({}));
            (answer.body["result"]["build"] == number).then_some(())
        });
    };
    serves(1);

    // The same in the place of what serves.
    let file = write_slowly(&folder, 2);
    let answer = daemon.call(BUILDS, &json!({}));
    assert_eq!(answer.result()["build"], 1);
    drop(file);
    serves(2);
    events.wait_for(|event| event.is("retired", BUILDS));
    let told = events.heard().into_iter();
    let told = told.filter(|event| event.data["plugin"] == BUILDS);
    let told: Vec<_> = told.map(|event| event.kind).collect();
    let expected = [
        "found", "probed", "serving", "found", "probed", "serving", "draining", "retired",
    ];
    assert_eq!(told, expected);
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains(FILE)).count();
    assert!(lines <= expected.len(), "{log}");
}

#[test]
fn fd_11_a_plugin_in_a_storm_of_files_is_taken_in() {
    let scene = Scene::quick("");
    let shape = Shape {
        clients: 1,
        options: json!({}),
        rate: Some(50.0),
    };
    let load = Load::shaped(&scene.daemon, BUILDS, shape);
    for number in 0..10_000 {
        fs::write(scene.folder.at(&format!("f{number:05}.so")), "x").unwrap();
        if number == 5_000 {
            scene.put(2, "fine");
        }
    }
    scene.wait_for_build(2);
    // Its list is long: only one of them is asked for.
    wait::until("the last of them to be refused", || {
        let answer = scene.daemon.call("f09999", &json!({}));
        answer.reason().starts_with("not_a_library: ").then_some(())
    });
    scene.put(3, "fine");
    scene.wait_for_build(3);
    load.stop().check_all_fine();
    let resident = scene.daemon.resident();
    println!("{} MiB with 10,000 refused files", resident >> 20);
    assert!(resident < 256 << 20);
}

#[test]
fn fd_12_a_pipe_holds_nothing_up() {
    let scene = Scene::quick("");
    mkfifoat(CWD, scene.folder.at("x.so"), Mode::from(0o644)).unwrap();
    scene.daemon.wait_for_refusal("x.so", "not_regular");
    scene.put(2, "fine");
    scene.wait_for_build(2);
}

#[test]
fn fd_13_what_is_no_file_is_told_and_left_alone() {
    let scene = Scene::quick("");
    let at = |name| scene.folder.at(name);
    fs::create_dir(at("folder.so")).unwrap();
    let _socket = UnixListener::bind(at("socket.so")).unwrap();
    symlink("loop.so", at("loop.so")).unwrap();
    symlink("nowhere", at("nowhere.so")).unwrap();
    symlink("/dev/null", at("device.so")).unwrap();
    let zero = rustix::fs::makedev(1, 5);
    let mode = Mode::from(0o644);
    // Only root may make one.
    let made = mknodat(CWD, at("zero.so"), FileType::CharacterDevice, mode, zero);
    for (file, reason) in [
        ("folder.so", "not_regular"),
        ("socket.so", "not_regular"),
        ("loop.so", "unreadable"),
        ("nowhere.so", "unreadable"),
        ("device.so", "not_regular"),
        ("zero.so", "not_regular"),
    ] {
        if file != "zero.so" || made.is_ok() {
            scene.daemon.wait_for_refusal(file, reason);
        }
    }
    scene.put(2, "fine");
    scene.wait_for_build(2);
}

#[test]
fn fd_14_a_file_that_is_too_large_is_not_read() {
    let scene = Scene::quick("");
    let before = scene.daemon.resident();
    let large = File::create(scene.folder.at("large.so")).unwrap();
    large.set_len(20 << 30).unwrap();
    drop(large);
    scene.daemon.wait_for_refusal("large.so", "too_large");
    // In the place of what serves it is held.
    let live = File::options().write(true).open(scene.file()).unwrap();
    live.set_len(20 << 30).unwrap();
    drop(live);
    scene.wait_for_invalid_file("too_large");
    assert_eq!(scene.build(), 1);
    assert!(scene.daemon.resident() < before + (64 << 20));
}

#[test]
fn fd_15_temporary_and_foreign_names_are_not_opened() {
    let scene = Scene::quick("");
    let good = c::plugin("other").build();
    let from = scene.folder.beside("from");
    let put = |name: &str, bytes: &[u8]| {
        fs::write(&from, bytes).unwrap();
        chmod(&from, 0o755);
        fs::rename(&from, scene.folder.at(name)).unwrap();
    };
    let opened = inotify::opened_during(&scene.folder.path(), || {
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
            put(name, &good);
        }
        put(FILE, &Build::fine(2).bytes());
        scene.wait_for_build(2);
    });
    assert_eq!(opened, [FILE]);
    assert_eq!(scene.daemon.call("other", &json!({})).status, 404);
}

#[test]
fn fd_17_a_file_that_others_may_write_to_is_not_served() {
    let scene = Scene::new(&format!("{QUICK}plugins.preload = 0"));
    let new = scene.folder.beside("new");
    fs::write(&new, c::plugin("open").build()).unwrap();
    chmod(&new, 0o666);
    fs::rename(&new, scene.folder.at("open.so")).unwrap();
    scene
        .daemon
        .wait_for_refusal("open.so", "unsafe_permissions");
    let answer = scene.daemon.call("open", &json!({}));
    assert_eq!(answer.status, 503);
    assert!(answer.reason().starts_with("unsafe_permissions: "));
    chmod(&scene.folder.at("open.so"), 0o644);
    wait::until("the mended file to be taken", || {
        scene.daemon.refusal("open.so").is_none().then_some(())
    });

    // What serves already is held.
    let load = scene.load(2);
    chmod(&scene.file(), 0o666);
    scene.wait_for_invalid_file("unsafe_permissions");
    chmod(&scene.file(), 0o755);
    scene.daemon.wait_for(BUILDS, "file_invalid", Value::Null);
    // Only root may give a file away.
    if chown(scene.file(), Some(12_345), None).is_ok() {
        scene.wait_for_invalid_file("unsafe_permissions");
        chown(scene.file(), Some(0), None).unwrap();
        scene.daemon.wait_for(BUILDS, "file_invalid", Value::Null);
    }
    load.stop().check_all_fine();
    assert_eq!((scene.told("probed"), scene.told("draining")), (1, 0));
}

#[test]
fn fd_17_of_a_folder_that_others_may_write_to_nothing_more_is_taken() {
    let scene = Scene::quick("");
    let load = scene.load(2);
    chmod(&scene.folder.path(), 0o777);
    scene.put(2, "fine");
    let told = wait_for_degraded(&scene.daemon, "is not safe");
    assert!(told.contains("chmod go-w"), "{told}");
    load.wait_for_calls(50);
    assert_eq!(scene.build(), 1);
    chmod(&scene.folder.path(), 0o755);
    scene.wait_for_build(2);
    load.stop().check_all_fine();
    assert_eq!(
        (scene.told("folder_problem"), scene.told("folder_fine")),
        (1, 1)
    );
}

#[test]
fn fd_19_of_two_files_with_one_name_the_first_serves_as_long_as_it_is_there() {
    let scene = Scene::quick("");
    let load = scene.load(1);
    let put = |file: &str, number| scene.folder.put(file, &Build::fine(number).bytes());
    put("zz.so", 3);
    scene.daemon.wait_for_refusal("zz.so", "duplicate_name");
    put("aa.so", 2);
    load.wait_for_build(2);
    scene.daemon.wait_for_refusal(FILE, "duplicate_name");
    // Whoever touches them changes nothing.
    for file in [FILE, "zz.so", "aa.so", "zz.so"] {
        let file = File::options().append(true).open(scene.folder.at(file));
        file.unwrap().set_modified(SystemTime::now()).unwrap();
    }
    put("zz.so", 4);
    load.wait_for_calls(50);
    fs::remove_file(scene.folder.at("aa.so")).unwrap();
    load.wait_for_build(1);
    fs::remove_file(scene.file()).unwrap();
    load.wait_for_build(4);
    let report = load.stop();
    report.check_all_fine();
    assert_eq!(report.builds_of(0), [1, 2, 1, 4]);
    assert_eq!(scene.told("serving"), 4);
    assert_eq!(scene.told("removed"), 0);
}

#[test]
fn fd_22_a_thousand_plugins_come_while_another_serves() {
    let scene = Scene::new(&format!("{QUICK}plugins.preload = 1"));
    let load = scene.load(2);
    let sample = c::plugin("sample-0000").build();
    let mut windows = sample.windows(11);
    let at = windows.position(|window| window == b"sample-0000").unwrap();
    for number in 0..1000 {
        let mut bytes = sample.clone();
        bytes[at..at + 11].copy_from_slice(format!("sample-{number:04}").as_bytes());
        scene.folder.put(&format!("{number:04}.so"), &bytes);
    }
    let items = wait::until("all plugins to be listed", || {
        let items = scene.daemon.items();
        (items.len() == 1001).then_some(items)
    });
    let loading = items.iter().filter(|item| item["lifecycle"] == "LOADING");
    assert_eq!(loading.count(), 1000);
    load.wait_for_calls(50);
    load.stop().check_all_fine();
    scene.put(2, "fine");
    scene.wait_for_build(2);
}

#[test]
fn the_same_bytes_make_no_generation() {
    let scene = Scene::quick("");
    let load = scene.load(1);
    let first = Build::fine(1).bytes();
    let file = File::options().append(true).open(scene.file()).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    load.wait_for_calls(20);
    fs::write(scene.file(), &first).unwrap();
    load.wait_for_calls(20);
    scene.folder.put(FILE, &first);
    load.wait_for_calls(20);
    assert_eq!(scene.act("reload").status, 200);
    // A change that is seen for sure says that what came before it has been seen too.
    scene.put(2, "fine");
    load.wait_for_build(2);
    let report = load.stop();
    report.check_all_fine();
    assert_eq!(report.builds_of(0), [1, 2]);
    assert_eq!((scene.told("found"), scene.told("serving")), (2, 2));
    assert_eq!(scene.told("held"), 0);
}

/// Writes a build piece by piece, and gives the file before it is closed.
fn write_slowly(folder: &Folder, number: u16) -> File {
    let mut file = File::create(folder.at(FILE)).unwrap();
    for piece in Build::fine(number).bytes().chunks(PIECE) {
        file.write_all(piece).unwrap();
        // That it takes long is the point.
        thread::sleep(PAUSE);
    }
    file
}

/// Waits until the daemon says that it is ready, but not well for this reason.
fn wait_for_degraded(daemon: &Daemon, reason: &str) -> String {
    wait::until(&format!("something to be told: {reason}"), || {
        let ready = daemon.get("/readyz");
        assert_eq!(ready.status, 200, "{}", ready.body);
        let mut degraded = ready.body["degraded"].as_array()?.iter();
        let told = degraded.find_map(|it| it["reason"].as_str().filter(|it| it.contains(reason)));
        told.map(str::to_owned)
    })
}
