//! A build takes over from another while calls run: none is lost, none is of two builds.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::thread;

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::process::Process;
use bulkhead_tests::reload::Scene;
use bulkhead_tests::wait;
use bulkhead_tests::workers::{all_gone, workers};
use serde_json::json;

const CLIENTS: usize = 2;

/// Each to a build that was never there. `soak_reload` goes on for longer.
const RELOADS: u16 = 30;

#[test]
fn rl_01_builds_change_under_load_and_no_call_is_lost() {
    let scene = Scene::quick("");
    let load = scene.load(CLIENTS);
    let mut last = None;
    for number in 2..2 + RELOADS {
        scene.put(number, "fine");
        last = Some((load.wait_for_build(number), number));
    }
    load.wait_for_calls(100);
    let report = load.stop();
    report.check_all_fine();
    report.check_one_build_a_worker();
    let (then, number) = last.unwrap();
    report.check_only_after(then, number);
    let daemon = scene.daemon.process();
    wait::until("no zombie", || daemon.zombies().is_empty().then_some(()));
}

#[test]
fn rl_02_a_build_that_cannot_serve_takes_over_from_nobody() {
    for way in ["unfit", "unwell", "abort-at-load", "hang-at-load"] {
        let scene = Scene::new("plugin.builds.startup = \"1s\"");
        let load = scene.load(CLIENTS);
        let refused = Build {
            way,
            ..Build::fine(2)
        };
        scene.folder.put(FILE, &refused.bytes());
        scene.wait_for_generation("generation", |it| *it == refused.generation());
        wait::until("the build to be refused", || {
            (scene.told("rejected") > 0).then_some(())
        });
        load.wait_for_calls(100);
        let report = load.stop();
        report.check_all_fine();
        assert_eq!(report.builds(), [1].into(), "{way}");
    }
}

#[test]
fn rl_04_a_long_call_ends_where_it_began() {
    let scene = Scene::new("plugin.builds.concurrency = 2");
    let old = workers(&scene.daemon, BUILDS);
    thread::scope(|scope| {
        let long = scope.spawn(|| scene.call(&json!({"sleep_ms": 3_000})));
        scene.daemon.wait_for(BUILDS, "in_flight", 1);
        scene.put(2, "fine");
        scene.wait_for_build(2);
        let long = long.join().unwrap();
        assert_eq!(long.result()["build"], 1);
    });
    all_gone("the workers of the build before", &old);
}

#[test]
fn rl_05_of_a_storm_of_builds_the_last_one_serves() {
    let scene = Scene::new("");
    let load = scene.load(CLIENTS);
    (2..=51).for_each(|number| scene.put(number, "fine"));
    load.wait_for_build(51);
    load.stop().check_all_fine();
    let status = scene.daemon.plugin(BUILDS);
    let alive = status["generations"].as_array().unwrap().len();
    assert!(alive <= 3, "{alive} generations");
}

#[test]
fn rl_07_the_same_version_with_other_bytes_is_another_generation() {
    let scene = Scene::new("");
    let before = scene.daemon.plugin(BUILDS)["generation"].clone();
    scene.put(2, "fine");
    scene.wait_for_build(2);
    scene.check_serves_file(&scene.file());
    assert_ne!(scene.daemon.plugin(BUILDS)["generation"], before);
    assert!(scene.daemon.log().contains("digest_changed"));
}

#[test]
fn ul_04_what_ignores_its_end_is_ended() {
    let scene = Scene::quick("");
    let events = scene.daemon.events();
    scene.put(2, "stubborn");
    scene.wait_for_build(2);
    let stubborn: Vec<Process> = workers(&scene.daemon, BUILDS);
    scene.put(3, "fine");
    scene.wait_for_build(3);
    all_gone("the workers that ignore their end", &stubborn);
    let generation = builds::generation(&builds::bytes(2, "stubborn"));
    events.wait_for(|event| {
        event.is("forced_kill", BUILDS) && event.data["generation"] == generation.as_str()
    });
    let kills = scene.daemon.plugin(BUILDS)["forced_kills"].as_u64();
    assert!(kills >= Some(1), "{kills:?}");
    events.wait_for(|event| {
        event.is("retired", BUILDS) && event.data["generation"] == generation.as_str()
    });
    assert_eq!(scene.build(), 3);
}
