//! A plugin that takes too long is ended, and its slot is free again.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::net::TcpStream;
use std::time::Instant;

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, all_gone, config, fine};
use bulkhead_tests::{on_each_platform, wait};
use serde_json::{Value, json};

on_each_platform![
    hg_01_code_over_its_deadline_is_ended,
    hg_01_a_caller_may_want_it_sooner,
    hg_01_a_cooperative_plugin_keeps_its_worker,
    hg_04_an_instance_that_hangs_while_it_is_dropped_is_ended,
    hg_04_a_worker_that_crashes_while_it_ends_costs_no_call,
    hg_05_a_plugin_that_hangs_is_full_and_no_other_is,
    hg_06_a_dripping_answer_ends_at_the_deadline,
    hg_07_a_client_that_hangs_up_frees_the_slot,
    rn_09_signals_are_no_shelter,
    a_schema_without_end_ends_with_its_call,
];

fn hg_01_code_over_its_deadline_is_ended(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"300ms\"\nconcurrency = 1");
    let details = json!({"code": "timeout", "deadline_ms": 300});
    // hg_03 is the lock.
    for options in [way("hang"), way("deadlock"), sleep(), blocking()] {
        let worker = scene.fine();
        scene.check_brief(&options, TIMEOUT, &details);
        assert!(!worker.is_alive(), "{options}: its worker still runs");
    }
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(
        (&status["lifecycle"], &status["in_flight"]),
        (&json!("READY"), &json!(0))
    );
}

fn hg_01_a_caller_may_want_it_sooner(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"500ms\"");
    for (asked, given) in [(200, 200), (60_000, 500)] {
        scene.fine();
        let answer = scene.daemon.call_within(FAULTS, &way("hang"), asked);
        let expected = json!({"code": "timeout", "deadline_ms": given});
        assert_eq!((answer.status, answer.details()), (504, &expected));
        scene.fine();
    }
}

fn hg_01_a_cooperative_plugin_keeps_its_worker(platform: Platform) {
    let scene = Scene::new(
        platform,
        "deadline = \"200ms\"\ngrace = \"5s\"\nconcurrency = 1",
    );
    let worker = scene.fine();
    let answer = scene.call(&way("wait-for-cancel"));
    let expected = json!({"code": "timeout", "deadline_ms": 200});
    assert_eq!((answer.status, answer.details()), (504, &expected));
    assert_eq!(scene.fine(), worker);
}

fn hg_04_an_instance_that_hangs_while_it_is_dropped_is_ended(platform: Platform) {
    check_drop(platform, "hang_in_drop");
}

fn hg_04_a_worker_that_crashes_while_it_ends_costs_no_call(platform: Platform) {
    check_drop(platform, "crash_in_drop");
}

/// A worker a call, each of which goes wrong when it is done with.
fn check_drop(platform: Platform, crime: &str) {
    let faults = format!("recycle = 1\nconcurrency = 2\nsettings = {{ {crime} = true }}");
    let mut scene = Scene::new(platform, &faults);
    let workers: Vec<_> = (0..4).map(|_| scene.fine()).collect();
    all_gone("workers that have had their call", &workers);
    fine(&scene.daemon, TWIN);
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(
        (&status["lifecycle"], &status["error_count"]),
        (&json!("READY"), &json!(0))
    );
    let rest = scene.daemon.process().children();
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code(), Some(0));
    all_gone("the last workers", &rest);
}

fn hg_05_a_plugin_that_hangs_is_full_and_no_other_is(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"2s\"\nconcurrency = 1\nqueue = 0");
    fine(&scene.daemon, TWIN);
    scene.fine();
    let answer = scene.during(&way("hang"), || {
        let start = Instant::now();
        let turned_away = scene.call(&way("fine"));
        println!("turned away after {:?}", start.elapsed());
        let brief = turned_away.brief();
        assert!(brief.starts_with("429 PluginError overloaded: "), "{brief}");
        assert!(turned_away.header("retry-after").is_some());
        for _ in 0..20 {
            fine(&scene.daemon, TWIN);
        }
        assert_eq!(
            scene.daemon.plugin(FAULTS)["in_flight"],
            1,
            "it was over too soon"
        );
    });
    assert_eq!(answer.status, 504, "{}", answer.body);
    scene.fine();
}

fn hg_06_a_dripping_answer_ends_at_the_deadline(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"500ms\"");
    scene.check_codes(&way("drip"), &["timeout", "protocol"]);
}

fn hg_07_a_client_that_hangs_up_frees_the_slot(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"60s\"\nconcurrency = 1");
    let worker = scene.fine();
    let client = hang_up_later(&scene.daemon);
    scene.daemon.wait_for(FAULTS, "in_flight", 1);
    drop(client);
    scene.daemon.wait_for(FAULTS, "in_flight", 0);
    scene.daemon.wait_for(FAULTS, "error_count", 1);
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(status["last_error"]["details"]["code"], "cancelled");
    all_gone("the worker of the call", &[worker]);
    scene.fine();
}

fn rn_09_signals_are_no_shelter(platform: Platform) {
    let mut scene = Scene::new(platform, "");
    let worker = {
        let answer = scene.call(&json!({"way": "block-signals", "millis": 0}));
        assert_eq!(answer.status, 200, "{}", answer.body);
        scene.fine();
        scene.daemon.process().children()
    };
    assert!(!worker.is_empty());
    // Clients that hang up while the daemon writes to them are no reason to die either.
    (0..10).for_each(|_| drop(hang_up_later(&scene.daemon)));
    assert_eq!(scene.daemon.get("/healthz").status, 200);
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code(), Some(0));
    all_gone("workers that handle SIGTERM", &worker);
    let log = scene.daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

const TIMEOUT: &str = "504 ExecutionError timeout: no answer within 300 ms";

fn sleep() -> Value {
    json!({"way": "sleep", "millis": 600_000})
}

fn blocking() -> Value {
    json!({"way": "block-signals", "millis": 600_000})
}

/// A call that computes for ever, and its client.
fn hang_up_later(daemon: &Daemon) -> TcpStream {
    let client = daemon.begin(FAULTS, "hang");
    wait::until("the call to begin", || {
        let status = daemon.plugin(FAULTS);
        (status["in_flight"] != 0 || status["queued"] != 0).then_some(())
    });
    client
}

/// Its check runs where the plugin's code runs, and is ended as that is.
fn a_schema_without_end_ends_with_its_call(platform: Platform) {
    let folder = Folder::of(&fixture("fixture-bomb")).with(&fixture("fixture-tiny"));
    let daemon = Daemon::start(&folder, &config(platform, "plugin.bomb.deadline = '300ms'"));
    for _ in 0..2 {
        let answer = daemon.call("bomb", &json!({}));
        let expected = "504 ExecutionError timeout: no answer within 300 ms";
        assert_eq!(answer.brief(), expected);
        assert_eq!(daemon.call("tiny", &json!({})).status, 200);
    }
}
