//! That what other tests stand on stands: builds that differ as they say, and tools that put the very
//! bytes where they are told to.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::load::{Load, Shape};
use bulkhead_tests::on_each_lane;
use bulkhead_tests::tools::TOOLS;
use serde_json::json;

on_each_lane![a_build_says_which_it_is, a_build_goes_wrong_as_it_says];

fn a_build_says_which_it_is(lane: Lane) {
    let build = Build {
        version: "2.10000.0",
        ..Build::fine(4711)
    };
    let folder = Folder::new();
    folder.put(FILE, &build.bytes());
    let daemon = Daemon::start(&folder, &lane.config(""));
    let answer = daemon.call(BUILDS, &json!({}));
    let result = answer.result();
    assert_eq!(result["build"], 4711);
    assert_eq!(result["build_at_end"], 4711);
    assert_eq!(result["version"], "2.10000.0");
    let status = daemon.plugin(BUILDS);
    assert_eq!(status["version"], "2.10000.0");
    assert_eq!(status["generation"], build.generation());
}

fn a_build_goes_wrong_as_it_says(lane: Lane) {
    let check = |way, briefs: [&str; 2]| {
        let folder = Folder::new();
        folder.put(FILE, &builds::bytes(1, way));
        let daemon = Daemon::start(&folder, &lane.config("plugin.builds.concurrency = 1"));
        let answers = [(); 2].map(|()| daemon.call(BUILDS, &json!({})));
        for (answer, brief) in answers.iter().zip(briefs) {
            assert!(answer.brief().starts_with(brief), "{way}: {}", answer.body);
        }
    };
    check("fine", ["200"; 2]);
    check("threads", ["200"; 2]);
    let fails = "500 ExecutionError failed: build 1 fails";
    check("fail", [fails; 2]);
    check("fail-half", ["200", fails]);
    check("panic", ["500 ExecutionError panic: build 1 panics"; 2]);
    check("unfit", ["503 PluginError plugin_unavailable"; 2]);
    check("unwell", ["503 PluginError plugin_unavailable"; 2]);
    // In the other lane these end the daemon.
    if lane == Lane::Process {
        check("abort-at-load", ["503 PluginError plugin_unavailable"; 2]);
        check("crash", ["502 ExecutionError crash"; 2]);
    }
}

#[test]
fn one_call_of_a_build_goes_another_way() {
    let folder = Folder::new();
    folder.put(FILE, &builds::bytes(2, "fine"));
    let daemon = Daemon::start(&folder, "");
    assert_eq!(daemon.call(BUILDS, &way("fail")).status, 500);
    assert_eq!(daemon.call(BUILDS, &way("crash")).status, 502);
    assert_eq!(daemon.call(BUILDS, &way("fine")).status, 200);
    let patient = json!({"sleep_ms": 60_000, "patient": true});
    let late = daemon.call_within(BUILDS, &patient, 100);
    assert_eq!(late.status, 504);
}

#[test]
fn a_load_tells_of_every_call() {
    let folder = Folder::new();
    folder.put(FILE, &Build::fine(7).bytes());
    let daemon = Daemon::start(&folder, "");
    let load = Load::start(&daemon, BUILDS, 2, json!({}));
    let seen = load.wait_for_build(7);
    load.wait_for_calls(100);
    let report = load.stop();
    report.check_all_fine();
    report.check_one_build_a_worker();
    report.check_only_after(seen, 7);
    assert_eq!(report.builds_of(1), [7]);
    let count = daemon.plugin(BUILDS)["success_count"].as_u64();
    assert_eq!(count, Some(report.calls() as u64));
}

#[test]
fn a_load_tells_what_went_wrong() {
    let folder = Folder::new();
    folder.put(FILE, &builds::bytes(7, "fail"));
    let daemon = Daemon::start(&folder, "");
    let shape = Shape {
        clients: 2,
        options: json!({}),
        rate: Some(200.0),
    };
    let load = Load::shaped(&daemon, BUILDS, shape);
    load.wait_for_calls(20);
    let report = load.stop();
    let failed = report.failed();
    assert_eq!(failed.len(), report.calls());
    let error = failed[0].error.as_deref().unwrap();
    assert!(error.contains("build 7 fails"), "{error}");
}

#[test]
fn tools_put_what_they_are_given() {
    let folder = Folder::new();
    let place = folder.at(FILE);
    for tool in TOOLS {
        fs::write(&place, "the first of all").unwrap();
        for number in 0..2 {
            let from = folder.beside(&format!("{number}.so"));
            let bytes = Build::fine(number).bytes();
            fs::write(&from, &bytes).unwrap();
            if tool.put(&from, &place) {
                let same = fs::read(&place).unwrap() == bytes;
                assert!(same, "{} has put something else", tool.name);
            }
            // A link to it stays what it is.
            let _ = fs::remove_file(&from);
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{} leaves {left:?}", tool.name);
        fs::remove_file(&place).unwrap();
    }
}
