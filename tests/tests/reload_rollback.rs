//! A build that is no good gives way to the one before: by itself, or because an operator says so.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::cli;
use bulkhead_tests::reload::{QUICK, Scene};
use bulkhead_tests::wait;
use bulkhead_tests::workers::all_gone;
use serde_json::{Value, json};

#[test]
fn a_build_that_crashes_again_and_again_is_rolled_back() {
    let scene = Scene::quick("");
    let events = scene.daemon.events();
    put_and_crash(&scene);
    let bad = builds::generation(&builds::bytes(2, "crash"));
    let rolled_back = events.wait_for(|event| event.is("rolled_back", BUILDS));
    assert_eq!(rolled_back.data["details"]["from"], bad.as_str());
    assert_eq!(
        rolled_back.data["generation"],
        Build::fine(1).generation().as_str()
    );
    assert!(
        rolled_back.reason().contains("crashed"),
        "{}",
        rolled_back.reason()
    );
    let status = scene.daemon.plugin(BUILDS);
    assert_eq!(status["lifecycle"], "READY");
    let refused = scene.generation(&builds::bytes(2, "crash")).unwrap();
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.starts_with("rolled_back: "), "{reason}");
}

#[test]
fn what_was_rolled_back_comes_back_only_when_it_is_asked_for() {
    let scene = Scene::quick("");
    put_and_crash(&scene);

    // Not with a touch, nor with a copy of the same bytes.
    let bad = builds::bytes(2, "crash");
    let file = fs::File::options().append(true).open(scene.file()).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    drop(file);
    scene.folder.put(FILE, &bad);
    let seen = scene.folder.put("barrier.so", b"no library");
    scene.daemon.wait_for_refusal("barrier.so", "not_a_library");
    fs::remove_file(seen).unwrap();
    assert_eq!(scene.build(), 1);

    // Not with a restart.
    let scene = scene.restarted(QUICK);
    (0..20).for_each(|_| assert_eq!(scene.build(), 1));
    let refused = scene.generation(&bad).expect("the refused build is told");
    assert_eq!(refused["lifecycle"], "REJECTED");

    // When somebody wants it so, it is tried again, whatever comes of it.
    let events = scene.daemon.events();
    let answer = scene.act("reload");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let generation = builds::generation(&bad);
    assert_eq!(answer.body["generation"], generation.as_str());
    events.wait_for(|event| {
        event.is("serving", BUILDS) && event.data["generation"] == generation.as_str()
    });
    crash_until_rolled_back(&scene);
}

/// The build that was rolled back is refused; one with other bytes is not.
#[test]
fn the_next_build_is_taken_after_a_rollback() {
    let scene = Scene::quick("");
    put_and_crash(&scene);
    scene.put(3, "fine");
    scene.wait_for_build(3);
    let generations = &scene.daemon.plugin(BUILDS)["generations"];
    let refused = |it: &Value| it["lifecycle"] == "REJECTED";
    assert!(
        !generations.as_array().unwrap().iter().any(refused),
        "{generations}"
    );
}

#[test]
fn a_rollback_loses_no_call() {
    let scene = Scene::quick("");
    let load = scene.load(2);
    scene.put(2, "fine");
    load.wait_for_build(2);
    let answer = scene.act("rollback");
    assert_eq!(answer.status, 200, "{}", answer.body);
    load.wait_for_build(1);
    let report = load.stop();
    report.check_all_fine();
    assert_eq!(report.builds_of(0), [1, 2, 1]);
}

#[test]
fn each_rollback_goes_further_back() {
    let scene = Scene::quick("");
    for number in 2..=4 {
        scene.put(number, "fine");
        scene.wait_for_build(number);
    }
    for number in [3, 2, 1] {
        let answer = scene.act("rollback");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let generation = Build::fine(number).generation();
        assert_eq!(answer.body["generation"], generation);
        assert_eq!(scene.build(), u64::from(number));
    }
    let answer = scene.act("rollback");
    let brief = answer.brief();
    let expected = "503 PluginError plugin_unavailable: ";
    assert!(brief.starts_with(expected), "{brief}");
    assert!(
        answer.reason().starts_with("no_earlier_generation: "),
        "{}",
        answer.body
    );
    assert_eq!(scene.build(), 1);
    // The folder holds build 4 all the while.
    assert_eq!(scene.act("reload").status, 200);
    assert_eq!(scene.build(), 4);
}

#[test]
fn there_may_be_none_to_go_back_to() {
    let scene = Scene::quick("");
    let answer = scene.act("rollback");
    assert_eq!(answer.status, 503);
    assert!(
        answer.reason().starts_with("no_earlier_generation: "),
        "{}",
        answer.body
    );
    let scene = Scene::new(&format!("{QUICK}plugins.keep = 0"));
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let answer = scene.act("rollback");
    assert_eq!(answer.status, 503);
    assert_eq!(scene.build(), 2);
    assert_eq!(scene.daemon.act("gone", "rollback").status, 404);
}

/// Earlier builds outlive the daemon.
#[test]
fn a_rollback_goes_back_to_before_a_restart() {
    let scene = Scene::quick("");
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let scene = scene.restarted(QUICK);
    assert_eq!(scene.build(), 2);
    assert_eq!(scene.act("rollback").status, 200);
    assert_eq!(scene.build(), 1);
}

/// A build that crashes where none came before it has nothing to give way to: it is held back.
#[test]
fn a_first_build_is_not_rolled_back() {
    let scene = Scene::quick("");
    for _ in 0..10 {
        scene.call(&json!({"way": "crash"}));
    }
    let status = wait::until("the quarantine", || {
        let status = scene.daemon.plugin(BUILDS);
        (status["lifecycle"] == "QUARANTINED").then_some(status)
    });
    assert_eq!(status["generation"], Build::fine(1).generation());
    assert_eq!(scene.told("rolled_back"), 0);
    scene.wait_for_build(1);
}

#[test]
fn an_operator_rolls_back_and_reloads_from_the_command_line() {
    let scene = Scene::quick("");
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let at = scene.daemon.address().to_string();
    let run = |action: &str| cli::run(&["plugins", action, BUILDS, "--daemon", &at]);
    let build = |number| {
        let generation = Build::fine(number).generation();
        format!("generation {generation} ({})", builds::VERSION)
    };

    let ended = run("rollback");
    let said = format!("{BUILDS} serves {} again\n", build(1));
    assert_eq!((ended.exit, ended.stdout), (0, said), "{}", ended.stderr);
    assert_eq!(scene.build(), 1);

    let ended = run("rollback");
    assert_eq!((ended.exit, &*ended.stdout), (1, ""));
    assert!(
        ended.stderr.contains("no_earlier_generation"),
        "{}",
        ended.stderr
    );

    let ended = run("reload");
    let said = format!("{BUILDS} serves {}\n", build(2));
    assert_eq!((ended.exit, ended.stdout), (0, said), "{}", ended.stderr);
    assert_eq!(scene.build(), 2);

    scene.put(3, "unfit");
    let ended = run("reload");
    assert_eq!((ended.exit, &*ended.stdout), (1, ""));
    assert!(ended.stderr.contains("create_failed"), "{}", ended.stderr);
    assert_eq!(scene.build(), 2);
}

/// What served badly ends with all that it had.
#[test]
fn the_workers_of_a_build_that_was_rolled_back_end() {
    let scene = Scene::quick("");
    scene.put(2, "fine");
    scene.wait_for_build(2);
    let workers = bulkhead_tests::workers::workers(&scene.daemon, BUILDS);
    assert!(!workers.is_empty());
    assert_eq!(scene.act("rollback").status, 200);
    all_gone("the workers of build 2", &workers);
}

/// Puts build 2, which ends its worker with each call, and calls it until build 1 serves.
fn put_and_crash(scene: &Scene) {
    scene.put(2, "crash");
    wait::until("the crashes to have begun", || {
        (scene.call(&json!({})).status == 502).then_some(())
    });
    crash_until_rolled_back(scene);
}

fn crash_until_rolled_back(scene: &Scene) {
    let before = scene.told("rolled_back");
    wait::until("the rollback", || {
        scene.call(&json!({}));
        (scene.told("rolled_back") > before).then_some(())
    });
    scene.wait_for_build(1);
}
