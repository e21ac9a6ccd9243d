//! What people do to a plugin's file while it serves: each is taken in, or told and left alone.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs::{self, OpenOptions};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bulkhead_tests::builds::{BUILDS, Build, FILE};
use bulkhead_tests::reload::Scene;
use bulkhead_tests::tools::{TOOLS, Tool};
use bulkhead_tests::wait;
use bulkhead_tests::workers::{all_gone, workers};
use serde_json::json;

#[test]
fn fd_01_copies_over_a_live_plugin_are_taken_in() {
    let scene = Scene::new("");
    let load = scene.load(2);
    for number in 2..22 {
        fs::write(scene.file(), Build::fine(number).bytes()).unwrap();
        load.wait_for_build(number);
    }
    load.stop().check_all_fine();
}

#[test]
fn fd_03_a_live_plugin_that_is_cut_serves_on() {
    for length in [0, 1 << 20] {
        let scene = Scene::new("");
        let load = scene.load(2);
        let file = OpenOptions::new().write(true).open(scene.file()).unwrap();
        file.set_len(length).unwrap();
        drop(file);
        scene.wait_for_invalid_file("truncated");
        load.wait_for_calls(100);
        load.stop().check_all_fine();
    }
}

#[test]
fn fd_07_renames_over_a_live_plugin_are_taken_in() {
    let scene = Scene::new("");
    let load = scene.load(2);
    (2..500).for_each(|number| scene.put(number, "fine"));
    load.wait_for_build(499);
    load.stop().check_all_fine();
}

#[test]
fn fd_08_every_tool_that_puts_files_is_understood() {
    let turns = AtomicUsize::new(0);
    // Most of the time is spent waiting for files to stand still.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(tool) = TOOLS.get(turns.fetch_add(1, Ordering::Relaxed)) {
                    is_understood(tool);
                }
            });
        }
    });
}

/// What it puts serves, and nothing else is ever served meanwhile.
fn is_understood(tool: &Tool) {
    let scene = Scene::new("");
    let events = scene.daemon.events();
    let load = scene.load(1);
    for number in [2, 3] {
        let from = scene.folder.beside(&format!("{number}.so"));
        fs::write(&from, Build::fine(number).bytes()).unwrap();
        if !tool.put(&from, &scene.file()) {
            return;
        }
        load.wait_for_build(number);
    }
    let report = load.stop();
    report.check_all_fine();
    assert_eq!(report.builds_of(0), [1, 2, 3], "{}", tool.name);
    let mut told = events.heard();
    told.retain(|event| !["probed", "draining", "retired"].contains(&event.kind.as_str()));
    let told: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    println!("{}: {}", tool.name, told.join(" "));
}

#[test]
fn fd_10_a_folder_that_is_made_anew_is_watched_again() {
    let scene = Scene::new("");
    fs::remove_dir_all(scene.folder.path()).unwrap();
    fs::create_dir(scene.folder.path()).unwrap();
    bulkhead_tests::folder::chmod(&scene.folder.path(), 0o755);
    fs::write(scene.file(), Build::fine(2).bytes()).unwrap();
    scene.wait_for_build(2);
}

#[test]
fn ul_01_a_plugin_whose_file_is_gone_is_unknown() {
    let scene = Scene::new("plugin.builds.concurrency = 2");
    let events = scene.daemon.events();
    let alive = workers(&scene.daemon, BUILDS);
    let load = scene.load(2);
    load.wait_for_calls(10);
    thread::scope(|scope| {
        let long = scope.spawn(|| scene.call(&json!({"sleep_ms": 3_000})));
        wait::until("the long call to be in its worker", || {
            let in_flight = scene.daemon.plugin(BUILDS)["in_flight"].as_u64();
            (in_flight >= Some(1)).then_some(())
        });
        fs::remove_file(scene.file()).unwrap();
        wait::until("the plugin to be gone", || {
            (scene.call(&json!({})).status == 404).then_some(())
        });
        assert_eq!(long.join().unwrap().result()["build"], 1);
    });
    let report = load.stop();
    for record in report.failed() {
        assert_eq!(record.status, Some(404), "{record:?}");
    }
    events.wait_for(|event| event.is("retired", BUILDS));
    all_gone("its workers", &alive);
    assert!(scene.daemon.items().is_empty());
    // It may come back.
    scene.put(2, "fine");
    scene.wait_for_build(2);
}

#[test]
fn ul_01_a_plugin_may_come_back_while_it_ends_its_last_calls() {
    let scene = Scene::quick("concurrency = 2");
    let events = scene.daemon.events();
    thread::scope(|scope| {
        let long = scope.spawn(|| scene.call(&json!({"sleep_ms": 4_000})));
        scene.daemon.wait_for(BUILDS, "in_flight", 1);
        fs::remove_file(scene.file()).unwrap();
        wait::until("the plugin to be gone", || {
            (scene.call(&json!({})).status == 404).then_some(())
        });
        scene.put(2, "fine");
        scene.wait_for_build(2);
        assert_eq!(long.join().unwrap().result()["build"], 1);
    });
    events.wait_for(|event| event.is("retired", BUILDS));
    assert_eq!(scene.build(), 2);
    let status = scene.daemon.plugin(BUILDS);
    assert_eq!(status["lifecycle"], "READY");
    assert_eq!(status["generation"], Build::fine(2).generation());
}

#[test]
fn ul_02_a_file_that_comes_back_at_once_was_never_gone() {
    let scene = Scene::new("");
    let load = scene.load(2);
    let bytes = fs::read(scene.file()).unwrap();
    fs::remove_file(scene.file()).unwrap();
    scene.folder.put(FILE, &bytes);
    // A change that is seen for sure says that what came before it has been seen too.
    scene.put(2, "fine");
    load.wait_for_build(2);
    load.stop().check_all_fine();
    assert_eq!(scene.daemon.plugin(BUILDS)["lifecycle"], "READY");
}
