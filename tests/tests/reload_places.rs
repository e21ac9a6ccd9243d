//! Folders that do not let the daemon do as it would: one whose files may not be executed, and one that
//! it may not read any more. Both take root to make; others skip them aloud.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::os::unix::fs::chown;
use std::process::Command;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::bulkhead;
use bulkhead_tests::folder::chmod;
use bulkhead_tests::reload::{QUICK, Scene};
use bulkhead_tests::wait;

/// Somebody who is nobody.
const USER: u32 = 12_345;

/// A mount of its own, of the folder onto itself, from which nothing may be executed.
const MOUNT: &str = r#"
    mount --bind "$0" "$0"; mount -o remount,bind,noexec "$0"; exec "$@""#;

#[test]
fn fd_20_plugins_of_a_folder_without_execution_serve_from_private_copies() {
    if !works(&["unshare", "--mount", "sh", "-c", "mount --bind /tmp /tmp"]) {
        eprintln!("SKIPPED: a mount of its own takes root, and a system that lets it");
        return;
    }
    let scene = Scene::with(|folder| {
        let path = folder.path();
        let path = path.to_str().unwrap();
        let starter = ["unshare", "--mount", "sh", "-euc", MOUNT, path];
        Daemon::start_behind(folder, QUICK, &starter)
    });
    // The daemon sees it so.
    let mounts = format!("/proc/{}/mountinfo", scene.daemon.process().0);
    let mounts = std::fs::read_to_string(mounts).unwrap();
    let path = scene.folder.path();
    let path = path.to_str().unwrap();
    let mut lines = mounts.lines();
    let is_there = lines.any(|line| line.contains(path) && line.contains("noexec"));
    assert!(is_there, "{mounts}");
    let load = scene.load(2);
    scene.put(2, "fine");
    load.wait_for_build(2);
    load.stop().check_all_fine();
}

#[test]
fn fd_21_plugins_of_a_folder_that_cannot_be_read_any_more_serve_on() {
    let user = USER.to_string();
    let starter = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
    ];
    let binary = bulkhead();
    let asks = [&starter[..], &[binary.to_str().unwrap(), "--version"]].concat();
    if !works(&asks) {
        eprintln!(
            "SKIPPED: to start a daemon as another user takes root, and a binary that all may read"
        );
        return;
    }
    let scene = Scene::with(|folder| {
        for path in [
            folder.beside("."),
            folder.path(),
            folder.at(bulkhead_tests::builds::FILE),
        ] {
            chown(path, Some(USER), Some(USER)).unwrap();
        }
        Daemon::start_behind(folder, QUICK, &starter)
    });
    let events = scene.daemon.events();
    let load = scene.load(2);
    for mode in [0o000, 0o300, 0o600] {
        let before = scene.told("folder_problem");
        chmod(&scene.folder.path(), mode);
        wait::until(&format!("a folder of mode {mode:o} to be told"), || {
            degraded(&scene).contains("cannot be read").then_some(())
        });
        load.wait_for_calls(50);
        chmod(&scene.folder.path(), 0o755);
        wait::until("the folder to be fine", || {
            degraded(&scene).is_empty().then_some(())
        });
        assert!(scene.told("folder_problem") > before, "{mode:o}");
    }
    events.wait_for(|event| event.kind == "folder_fine");
    let put = scene.folder.put(
        bulkhead_tests::builds::FILE,
        &bulkhead_tests::builds::Build::fine(2).bytes(),
    );
    chown(put, Some(USER), Some(USER)).unwrap();
    load.wait_for_build(2);
    let report = load.stop();
    report.check_all_fine();
    assert_eq!(report.builds(), [1, 2].into());
}

/// What `/readyz` tells of a daemon that is ready.
fn degraded(scene: &Scene) -> String {
    let ready = scene.daemon.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
    let degraded = ready.body["degraded"].as_array().unwrap().iter();
    let reasons = degraded.map(|it| it["reason"].to_string());
    reasons.collect()
}

fn works(command: &[&str]) -> bool {
    let (program, arguments) = command.split_first().unwrap();
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
