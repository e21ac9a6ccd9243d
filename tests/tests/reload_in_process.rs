//! Builds of a trusted plugin, in the daemon itself: what was loaded stays mapped, up to a number.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::load::Load;
use bulkhead_tests::reload::{QUICK, Scene};
use bulkhead_tests::wait;
use bulkhead_tests::workers::FAULTS;
use rustix::process::Signal;
use serde_json::json;

/// How many generations of a plugin may be mapped.
const CAP: u16 = 64;

/// How many bytes of its own a daemon may have more for each: what the library writes to, and the tables of
/// those who load it.
const MOST_EACH: u64 = 1 << 20;

#[test]
fn rl_08_generations_pile_up_to_a_number_and_no_further() {
    let scene = Scene::new(&Lane::InProcess.config(QUICK));
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let process = scene.daemon.process();
    let before = process.number("RssAnon") << 10;
    for number in 3..=CAP {
        scene.put(number, "fine");
        scene.wait_for_build(number);
    }
    let more = (process.number("RssAnon") << 10).saturating_sub(before);
    let each = more / u64::from(CAP - 2);
    println!("{each} bytes a reload");
    assert!(each <= MOST_EACH, "{each} bytes a reload");

    let last = Build::fine(CAP + 1);
    scene.folder.put(FILE, &last.bytes());
    wait::until("a restart to be asked for", || {
        (scene.told("restart_required") > 0).then_some(())
    });
    let answer = scene.act("reload");
    assert_eq!(answer.details()["code"], "plugin_unavailable");
    assert!(
        answer.reason().starts_with("restart_required: "),
        "{}",
        answer.body
    );
    assert_eq!(answer.status, 503);
    let refused = scene.generation(&last.bytes()).unwrap();
    assert_eq!(refused["lifecycle"], "REJECTED");
    assert_eq!(scene.build(), u64::from(CAP));
    // What is mapped already costs nothing more, and a restart makes the change good.
    scene.put(2, "fine");
    scene.wait_for_build(2);
    scene.folder.put(FILE, &last.bytes());
    let scene = scene.restarted(&Lane::InProcess.config(QUICK));
    scene.wait_for_build(CAP + 1);
}

#[test]
fn rl_01_builds_change_under_load_in_the_daemon_itself() {
    let scene = Scene::new(&Lane::InProcess.config(QUICK));
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
