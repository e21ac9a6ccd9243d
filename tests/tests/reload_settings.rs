//! Settings are read again while plugins serve: what changed holds for the calls from then on, and none
//! is lost.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::builds::{BUILDS, Build, FILE};
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::events::Events;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::reload::{QUICK, Scene, quick};
use bulkhead_tests::wait;
use bulkhead_tests::workers::{all_gone, workers};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_changed_setting_makes_a_generation_of_the_same_build() {
    let scene = Scene::quick("settings.label = \"first\"");
    let events = scene.daemon.events();
    let load = scene.load(2);
    let old = workers(&scene.daemon, BUILDS);
    for (settings, label) in [
        ("settings.label = \"second\"", json!("second")),
        (
            "deadline = \"7s\"\nconcurrency = 3\nsettings.label = \"third\"",
            json!("third"),
        ),
        ("deadline = \"7s\"\nconcurrency = 3", json!(null)),
    ] {
        scene.daemon.configure(&quick(settings));
        wait::until(&format!("the label {label}"), || {
            (scene.call(&json!({})).result()["label"] == label).then_some(())
        });
    }
    load.wait_for_calls(50);
    load.stop().check_all_fine();
    all_gone("the workers with the settings before", &old);
    let digest = Build::fine(1).generation();
    let serving = events.wait_for(|event| {
        event.is("serving", BUILDS) && event.data["details"]["settings_changed"] == true
    });
    assert_eq!(serving.data["generation"], digest.as_str());
    let status = scene.daemon.plugin(BUILDS);
    assert_eq!(status["generation"], digest);
    // What is no plugin's setting makes no generation.
    let told = scene.told("serving");
    scene.daemon.configure(&format!(
        "{}[log]\nlevel = \"debug\"",
        quick("deadline = \"7s\"\nconcurrency = 3")
    ));
    wait_for(&scene, "configuration_applied", 4);
    scene.daemon.act(BUILDS, "reload");
    assert_eq!(scene.told("serving"), told);
}

#[test]
fn a_deadline_and_a_concurrency_hold_once_they_are_read_again() {
    let scene = Scene::quick("concurrency = 1");
    scene
        .daemon
        .configure(&quick("concurrency = 2\ndeadline = \"300ms\""));
    wait_for(&scene, "configuration_applied", 1);
    let late = wait::until("the deadline", || {
        let answer = scene.call(&json!({"sleep_ms": 2_000, "patient": true}));
        (answer.status == 504).then_some(answer)
    });
    assert_eq!(late.details()["code"], "timeout");
    scene.wait_for_build(1);
}

/// Settings that the plugin does not take leave the old ones in force.
#[test]
fn settings_that_a_plugin_refuses_take_over_from_nobody() {
    let scene = Scene::quick("settings.label = \"good\"");
    let load = scene.load(2);
    scene.daemon.configure(&quick("settings.unknown = 1"));
    wait::until("the settings to be refused", || {
        (scene.told("rejected") > 0).then_some(())
    });
    load.wait_for_calls(50);
    load.stop().check_all_fine();
    assert_eq!(scene.call(&json!({})).result()["label"], "good");
    let answer = scene.act("reload");
    assert_eq!(answer.status, 503, "{}", answer.body);
    scene
        .daemon
        .configure(&quick("settings.label = \"better\""));
    wait::until("the better label", || {
        (scene.call(&json!({})).result()["label"] == "better").then_some(())
    });
}

#[test]
fn a_configuration_with_a_fault_leaves_the_old_one_in_force() {
    let scene = Scene::quick("settings.label = \"good\"");
    let events = scene.daemon.events();
    for fault in [
        "[plugin.builds",
        "[plugin.builds]\nconcurrency = -1",
        "[plugin.builds]\nunknown = 1",
    ] {
        let before = scene.told("configuration_rejected");
        scene.daemon.configure(&format!("{QUICK}{fault}"));
        wait_for(&scene, "configuration_rejected", before + 1);
        let answer = scene.act("reload");
        assert_eq!(answer.status, 503, "{fault}: {}", answer.body);
        assert!(
            answer.reason().starts_with("configuration_invalid: "),
            "{}",
            answer.body
        );
        assert_eq!(scene.call(&json!({})).result()["label"], "good");
    }
    let rejected = events.wait_for(|event| event.kind == "configuration_rejected");
    assert!(
        rejected.reason().contains("bulkhead.toml"),
        "{}",
        rejected.reason()
    );
    // A build is taken all the same.
    scene.put(2, "fine");
    scene.wait_for_build(2);
    assert_eq!(scene.call(&json!({})).result()["label"], "good");
}

#[test]
fn the_default_plugin_may_become_another() {
    let folder = Folder::of(&fixture("fixture-tiny"));
    folder.put(FILE, &Build::fine(1).bytes());
    let config = |default: &str| format!("{QUICK}plugins.default = \"{default}\"");
    let daemon = Daemon::start(&folder, &config("tiny"));
    assert!(answered_by(&daemon, "tiny"));
    for name in [BUILDS, "tiny"] {
        daemon.configure(&config(name));
        wait::until(&format!("{name} to be the default"), || {
            answered_by(&daemon, name).then_some(())
        });
    }
}

#[test]
fn a_folder_that_is_not_watched_is_read_when_somebody_asks() {
    let scene = Scene::new("plugins.watch = false");
    scene.put(2, "fine");
    let load = scene.load(2);
    load.wait_for_calls(200);
    assert_eq!(load.stop().builds(), [1].into());
    assert_eq!(scene.act("reload").status, 200);
    assert_eq!(scene.build(), 2);

    scene.put(3, "fine");
    assert_eq!(scene.build(), 2);
    scene.daemon.process().signal(Signal::HUP);
    scene.wait_for_build(3);

    fs::remove_file(scene.file()).unwrap();
    assert_eq!(scene.build(), 3);
    scene.daemon.process().signal(Signal::HUP);
    wait::until("the plugin to be gone", || {
        (scene.call(&json!({})).status == 404).then_some(())
    });
}

/// What needs a restart is told to.
#[test]
fn a_setting_that_waits_for_a_restart_is_told_to() {
    let scene = Scene::quick("");
    let events: Events = scene.daemon.events();
    scene
        .daemon
        .configure("plugins.settle = \"1s\"\nworkers.spares = 3");
    let applied = events.wait_for(|event| event.kind == "configuration_applied");
    let waiting = applied.data["details"]["waiting"].to_string();
    assert!(
        waiting.contains("plugins.settle") && waiting.contains("workers.spares"),
        "{waiting}"
    );
}

/// Waits until this event stands in the log so often.
fn wait_for(scene: &Scene, event: &str, times: usize) {
    wait::until(event, || (scene.told(event) >= times).then_some(()));
}

/// Whether it is this plugin that a call without a plugin's name goes to.
fn answered_by(daemon: &Daemon, name: &str) -> bool {
    let count = || daemon.plugin(name)["success_count"].as_u64();
    let before = count();
    let answer = daemon.call_default();
    assert_eq!(answer.status, 200, "{}", answer.body);
    count() > before
}
