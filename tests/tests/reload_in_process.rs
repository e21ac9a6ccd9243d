//! Builds of a trusted plugin, in the daemon itself: what was loaded stays mapped, up to a number.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::builds::{self, BUILDS, FILE};
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::load::Load;
use bulkhead_tests::reload::Scene;
use bulkhead_tests::wait;
use bulkhead_tests::workers::FAULTS;
use rustix::process::Signal;
use serde_json::json;

/// How many generations of a plugin may be mapped.
const CAP: u16 = 64;

#[test]
fn rl_08_generations_pile_up_to_a_number_and_no_further() {
    let scene = Scene::new(&Lane::InProcess.config(""));
    for number in 2..=CAP {
        scene.put(number, "fine");
        scene.wait_for_build(number);
    }
    scene.put(CAP + 1, "fine");
    wait::until("a restart to be asked for", || {
        (scene.told("restart_required") > 0).then_some(())
    });
    let answer = scene.call(&json!({}));
    assert_eq!(answer.result()["build"], CAP);
}

#[test]
fn rl_01_builds_change_under_load_in_the_daemon_itself() {
    let scene = Scene::new(&Lane::InProcess.config(""));
    let load = Load::start(&scene.daemon, BUILDS, 2, way("threads"));
    for number in 2..22 {
        scene.put(number, "fine");
        load.wait_for_build(number);
    }
    load.stop().check_all_fine();
}

#[test]
fn ul_03_what_clings_to_the_daemon_keeps_its_library() {
    let library = fixture("fixture-faults");
    let folder = Folder::of(&library);
    folder.put(FILE, &builds::bytes(1, "fine"));
    let config = "plugin.faults.lane = \"in-process\"";
    let mut daemon = Daemon::start(&folder, config);
    let clings = daemon.call(FAULTS, &way("cling"));
    for what in ["hook", "handler", "key"] {
        assert_eq!(clings.result()["said"][what], "done", "{what}");
    }
    fs::remove_file(folder.at(library.file_name().unwrap().to_str().unwrap())).unwrap();
    wait::until("the plugin to be gone", || {
        (daemon.call(FAULTS, &way("fine")).status == 404).then_some(())
    });
    // Its handler runs, and with the end of the daemon all else that it has left.
    daemon.process().signal(Signal::USR2);
    assert_eq!(daemon.call(BUILDS, &json!({})).status, 200);
    daemon.terminate();
    assert_eq!(daemon.exit_code(), Some(0));
}
