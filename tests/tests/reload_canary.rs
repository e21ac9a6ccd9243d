//! A build gets a share of the calls first, and has to show with them what it is worth.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::load::Load;
use bulkhead_tests::reload::Scene;
use bulkhead_tests::wait;
use serde_json::{Value, json};

/// A trial that comes to its end by itself.
const SHORT: &str = "canary = 20\ncanary_window = \"1s\"";

/// A trial that does not.
const LONG: &str = "canary = 20\ncanary_window = \"1h\"";

#[test]
fn a_good_canary_is_promoted() {
    let scene = Scene::quick(SHORT);
    let events = scene.daemon.events();
    let load = scene.load(2);
    scene.put(2, "fine");
    let started = events.wait_for(|event| event.is("canary_started", BUILDS));
    assert_eq!(started.data["details"]["percent"], 20);
    assert_eq!(
        started.data["generation"],
        Build::fine(2).generation().as_str()
    );
    let promoted = events.wait_after(&started.id, |event| event.is("canary_promoted", BUILDS));
    assert_eq!(promoted.data["details"]["faults"], 0);
    let serving = events.wait_after(&promoted.id, |event| event.is("serving", BUILDS));
    assert_eq!(serving.data["generation"], promoted.data["generation"]);
    // Calls that were sent before may still be of the other.
    load.wait_for_build(2);
    load.wait_for_calls(50);
    let report = load.stop();
    report.check_all_fine();
    report.check_one_build_a_worker();
    let last = report.records.iter().rev().take(20);
    assert!(last.into_iter().all(|record| record.build == Some(2)));
}

#[test]
fn a_canary_gets_its_share_and_is_counted_by_itself() {
    let (scene, load) = on_trial(LONG, "fine");
    let canary = scene.generation(&builds::bytes(2, "fine")).unwrap();
    assert_eq!(canary["canary"], 20);
    assert_eq!(canary["lifecycle"], "READY");
    let stable = scene.generation(&builds::bytes(1, "fine")).unwrap();
    assert_eq!(
        (&stable["canary"], &stable["lifecycle"]),
        (&Value::Null, &json!("READY"))
    );
    assert_eq!(
        scene.daemon.plugin(BUILDS)["generation"],
        stable["generation"]
    );
    load.stop().check_all_fine();

    let count = |number| {
        let generation = scene.generation(&builds::bytes(number, "fine")).unwrap();
        generation["success_count"].as_u64().unwrap()
    };
    let before = [count(1), count(2)];
    let answered = (0..100).map(|_| scene.build());
    let of_canary = answered.filter(|build| *build == 2).count();
    assert_eq!(of_canary, 20);
    assert_eq!([count(1) - before[0], count(2) - before[1]], [80, 20]);
}

#[test]
fn a_canary_that_fails_is_rolled_back_while_the_stable_build_serves() {
    let (scene, load) = on_trial(LONG, "fail");
    let events = scene.daemon.events();
    let rolled_back = events.wait_for(|event| event.is("rolled_back", BUILDS));
    let bad = builds::generation(&builds::bytes(2, "fail"));
    assert_eq!(rolled_back.data["details"]["from"], bad.as_str());
    assert!(
        rolled_back.reason().contains("calls failed"),
        "{}",
        rolled_back.reason()
    );
    load.wait_for_build(1);
    let report = load.stop();
    for record in report.failed() {
        assert_eq!(record.status, Some(500), "{record:?}");
        let error = record.error.as_deref().unwrap();
        assert!(error.contains("build 2 fails"), "{error}");
    }
    (0..50).for_each(|_| assert_eq!(scene.build(), 1));
    let refused = scene.generation(&builds::bytes(2, "fail")).unwrap();
    assert_eq!(refused["lifecycle"], "REJECTED");
    assert_eq!(scene.told("serving"), 1);
    assert_eq!(scene.told("canary_promoted"), 0);
}

#[test]
fn a_canary_that_crashes_again_and_again_is_ended() {
    let (scene, load) = on_trial(LONG, "crash");
    wait::until("the canary to be ended", || {
        (scene.told("canary_ended") > 0).then_some(())
    });
    load.wait_for_build(1);
    let report = load.stop();
    for record in report.failed() {
        assert_eq!(record.status, Some(502), "{record:?}");
    }
    assert_eq!(scene.told("rolled_back"), 1);
    (0..50).for_each(|_| assert_eq!(scene.build(), 1));
}

#[test]
fn a_canary_ends_when_the_folder_holds_the_build_before_it_again() {
    let (scene, load) = on_trial(LONG, "fine");
    scene.put(1, "fine");
    wait::until("the canary to be ended", || {
        (scene.told("canary_ended") > 0).then_some(())
    });
    load.wait_for_calls(50);
    load.stop().check_all_fine();
    (0..50).for_each(|_| assert_eq!(scene.build(), 1));
    assert_eq!((scene.told("rolled_back"), scene.told("serving")), (0, 1));
    // It did no wrong: it may be tried out again.
    scene.put(2, "fine");
    wait::until("the next trial", || {
        (scene.told("canary_started") == 2).then_some(())
    });
}

#[test]
fn a_newer_build_takes_the_place_of_a_canary() {
    let (scene, load) = on_trial(LONG, "fine");
    scene.put(3, "fine");
    load.wait_for_build(3);
    let report = load.stop();
    report.check_all_fine();
    let answered = (0..100).map(|_| scene.build());
    let counts = answered.fold([0; 4], |mut counts, build| {
        counts[usize::try_from(build).unwrap()] += 1;
        counts
    });
    assert_eq!(counts, [0, 80, 0, 20]);
}

#[test]
fn a_reload_promotes_a_canary_at_once() {
    let (scene, load) = on_trial(LONG, "fine");
    let answer = scene.act("reload");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["generation"], Build::fine(2).generation());
    (0..50).for_each(|_| assert_eq!(scene.build(), 2));
    load.stop().check_all_fine();
    assert_eq!(scene.told("canary_promoted"), 1);
    // The build before it can be gone back to.
    assert_eq!(scene.act("rollback").status, 200);
    (0..50).for_each(|_| assert_eq!(scene.build(), 1));
}

#[test]
fn a_rollback_ends_a_canary() {
    let (scene, load) = on_trial(LONG, "fine");
    let answer = scene.act("rollback");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["generation"], Build::fine(1).generation());
    (0..50).for_each(|_| assert_eq!(scene.build(), 1));
    load.stop().check_all_fine();
    assert_eq!(scene.told("canary_ended"), 1);
    // It is refused now, until somebody wants it.
    scene.folder.put(FILE, &Build::fine(2).bytes());
    assert_eq!(scene.act("reload").status, 200);
    wait::until("the next trial", || {
        (scene.told("canary_started") == 2).then_some(())
    });
}

/// A daemon under load, of whose calls some go to build 2, which goes wrong in this way.
fn on_trial(plugin: &str, way: &str) -> (Scene, Load) {
    let scene = Scene::quick(plugin);
    let load = scene.load(2);
    scene.put(2, way);
    wait::until("the trial", || {
        (scene.told("canary_started") > 0).then_some(())
    });
    if way == "fine" {
        load.wait_for_build(2);
    }
    (scene, load)
}
