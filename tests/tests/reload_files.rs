//! What people do to a plugin's file while it serves: each is taken in, or told and left alone.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs::{self, OpenOptions};

use bulkhead_tests::builds::{BUILDS, Build, FILE};
use bulkhead_tests::reload::Scene;
use bulkhead_tests::tools::TOOLS;
use bulkhead_tests::wait;
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
    for tool in TOOLS {
        let scene = Scene::new("");
        let load = scene.load(1);
        for number in [2, 3] {
            let from = scene.folder.beside(&format!("{number}.so"));
            fs::write(&from, Build::fine(number).bytes()).unwrap();
            if !tool.put(&from, &scene.file()) {
                break;
            }
            println!("{}", tool.name);
            load.wait_for_build(number);
        }
        load.stop().check_all_fine();
    }
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
    let scene = Scene::new("");
    let load = scene.load(2);
    load.wait_for_calls(10);
    fs::remove_file(scene.file()).unwrap();
    wait::until("the plugin to be gone", || {
        (scene.call(&json!({})).status == 404).then_some(())
    });
    let report = load.stop();
    for record in report.failed() {
        assert_eq!(record.status, Some(404), "{record:?}");
    }
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
