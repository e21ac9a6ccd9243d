//! What an attack on hot reload has found: builds that end or hold up whoever loads them, callers who walk a plugin back
//! by what they send, files that are damaged between two daemons, reloads that cross each other.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::thread;

use bulkhead_tests::builds::{self, BUILDS, Build, FILE};
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::reload::{QUICK, Scene, quick};
use bulkhead_tests::wait;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

/// A daemon that sees no file by itself: what is put is there for the next one.
const BLIND: &str = "plugins.watch = false";

#[test]
fn a_build_that_aborts_at_load_does_not_end_a_daemon_that_trusts_it() {
    let config = Lane::InProcess.config(QUICK);
    let scene = Scene::new(&config);
    let bad = builds::bytes(2, "abort-at-load");
    scene.folder.put(FILE, &bad);
    wait_for_rejection(&scene, &bad);
    assert_eq!(scene.build(), 1);

    let scene = scene.restarted(&config);
    assert_eq!(scene.build(), 1);
    wait_for_rejection(&scene, &bad);
    assert_eq!(scene.build(), 1);
    scene.put(3, "fine");
    scene.wait_for_build(3);
}

#[test]
fn a_first_build_that_aborts_at_load_does_not_end_a_daemon_that_trusts_it() {
    let scene = first(
        &builds::bytes(1, "abort-at-load"),
        &Lane::InProcess.config(QUICK),
    );
    assert_eq!(scene.call(&json!({})).status, 503);
    scene.daemon.wait_for(BUILDS, "lifecycle", "REJECTED");
    scene.put(2, "fine");
    scene.wait_for_build(2);
}

/// A build that was good once is brought back as one that is not new: what makes it crash too is what its callers send.
#[test]
fn callers_walk_a_plugin_one_step_back_and_no_further() {
    let scene = Scene::quick("");
    for number in [2, 3] {
        scene.put(number, "fine");
        scene.wait_for_build(number);
    }
    wait::until("the rollback", || {
        scene.call(&way("crash"));
        (scene.told("rolled_back") > 0).then_some(())
    });
    scene.wait_for_build(2);
    wait::until("the quarantine", || {
        scene.call(&way("crash"));
        let status = scene.daemon.plugin(BUILDS);
        (status["lifecycle"] == "QUARANTINED").then_some(())
    });
    scene.wait_for_build(2);
    let status = scene.daemon.plugin(BUILDS);
    assert_eq!(status["generation"], Build::fine(2).generation());
    assert_eq!(scene.told("rolled_back"), 1);
}

#[test]
fn a_file_that_is_cut_between_two_daemons_is_held() {
    let config = format!("{BLIND}\n{QUICK}");
    let scene = Scene::new(&config);
    scene.put(2, "fine");
    assert_eq!(scene.act("reload").status, 200);
    assert_eq!(scene.build(), 2);
    let file = File::options().write(true).open(scene.file()).unwrap();
    file.set_len(1_000).unwrap();
    drop(file);

    let scene = scene.restarted(QUICK);
    assert_eq!(scene.build(), 2);
    scene.wait_for_invalid_file("truncated");
    let ready = scene.daemon.get("/readyz").body;
    let mut degraded = ready["degraded"].as_array().unwrap().iter();
    let held = degraded.find(|it| it["file"] == FILE);
    let held = held.unwrap_or_else(|| panic!("the file is not named in {ready}"));
    let reason = held["reason"].as_str().unwrap();
    assert!(reason.starts_with("truncated"), "{reason}");

    scene.put(3, "fine");
    scene.wait_for_build(3);
    scene.daemon.wait_for(BUILDS, "file_invalid", Value::Null);
    assert_eq!(scene.act("rollback").status, 200);
    assert_eq!(scene.build(), 2);
}

#[test]
fn a_build_that_hangs_at_load_holds_up_no_restart() {
    let settings = quick("startup = \"2s\"");
    let scene = Scene::new(&format!("{BLIND}\n{settings}"));
    let bad = builds::bytes(2, "hang-at-load");
    scene.folder.put(FILE, &bad);
    let scene = scene.restarted(&settings);
    assert_eq!(scene.build(), 1);
    wait_for_rejection(&scene, &bad);
    assert_eq!(scene.build(), 1);
}

#[test]
fn a_rollback_waits_for_nobody_who_drains() {
    let scene = Scene::quick("concurrency = 2");
    let end = scene.folder.beside("end");
    let long = json!({"until": end});
    thread::scope(|scope| {
        let calls = [1_u16, 2].map(|number| {
            let call = scope.spawn(|| scene.call(&long));
            let bytes = Build::fine(number).bytes();
            wait_for(&scene, &bytes, "in_flight", &json!(1));
            scene.put(number + 1, "fine");
            scene.wait_for_build(number + 1);
            (number, call)
        });
        let answer = scene.act("rollback");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let status = scene.daemon.plugin(BUILDS);
        assert_eq!(status["generation"], Build::fine(2).generation());
        let draining = draining(&status);
        for number in [1, 2] {
            let generation = Build::fine(number).generation();
            assert!(draining.contains(&generation), "{number}: {status}");
        }
        assert_eq!(scene.build(), 2);
        fs::write(&end, "").unwrap();
        for (number, call) in calls {
            assert_eq!(call.join().unwrap().result()["build"], number);
        }
    });
}

/// Whichever step it is that lacks a descriptor, it is made again.
#[test]
fn a_moment_without_descriptors_condemns_no_build() {
    let scene = Scene::new(&format!("workers.spares = 0\n{QUICK}"));
    let daemon = scene.daemon.process();
    let process = Pid::from_raw(daemon.0);
    for (number, more) in (2..).zip([0, 2, 6, 10]) {
        let few = Rlimit {
            current: Some(daemon.free_descriptor() + more),
            ..getrlimit(Resource::Nofile)
        };
        let (lines, served) = (attempts(&scene), scene.told("serving"));
        let before = prlimit(process, Resource::Nofile, few).unwrap();
        scene.put(number, "fine");
        // Nobody connects meanwhile: there may be no descriptor for that.
        wait::until(&format!("an attempt with {more} descriptors"), || {
            let was_made = attempts(&scene) > lines || scene.told("serving") > served;
            was_made.then_some(())
        });
        prlimit(process, Resource::Nofile, before).unwrap();
        scene.wait_for_build(number);
        assert_eq!(scene.told("rejected"), 0, "{more}");
    }
}

/// How often it was told that there was no descriptor for something.
fn attempts(scene: &Scene) -> usize {
    let log = scene.daemon.log();
    let passing = ["os error 24", "a build cannot be tried now"];
    let is_attempt = |line: &&str| passing.iter().any(|it| line.contains(it));
    log.lines().filter(is_attempt).count()
}

#[test]
fn settings_reach_the_build_that_serves_beside_one_that_cannot() {
    let scene = Scene::quick("");
    let bad = builds::bytes(2, "unfit");
    scene.folder.put(FILE, &bad);
    wait_for_rejection(&scene, &bad);
    scene.daemon.configure(&quick("deadline = \"200ms\""));
    let late = wait::until("the deadline", || {
        let answer = scene.call(&json!({"sleep_ms": 1_000, "patient": true}));
        (answer.status == 504).then_some(answer)
    });
    assert_eq!(late.details()["code"], "timeout");
    let refused = scene.generation(&bad).expect("the refused build is told");
    assert_eq!(refused["lifecycle"], "REJECTED");
    let status = scene.daemon.plugin(BUILDS);
    assert_eq!(status["generation"], Build::fine(1).generation());
}

#[test]
fn a_first_build_that_is_unfit_is_tried_again_with_each_reload() {
    let scene = first(&builds::bytes(1, "unfit"), QUICK);
    for _ in 0..2 {
        let answer = scene.act("reload");
        assert_eq!(answer.status, 503, "{}", answer.body);
        let reason = answer.reason();
        assert!(reason.starts_with("create_failed"), "{reason}");
    }
    scene.put(2, "fine");
    let answer = scene.act("reload");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(scene.build(), 2);
}

#[test]
fn what_was_refused_is_refused_aloud_when_it_comes_again() {
    let scene = Scene::quick("");
    let (good, bad) = (Build::fine(1).bytes(), builds::bytes(2, "unfit"));
    for times in 1..=3 {
        scene.folder.put(FILE, &bad);
        wait_for_rejection(&scene, &bad);
        wait::until("the refusal to be told", || {
            (scene.told("rejected") >= times).then_some(())
        });
        assert_eq!(scene.told("rejected"), times);
        scene.folder.put(FILE, &good);
        wait::until("the refusal to be forgotten", || {
            scene.generation(&bad).is_none().then_some(())
        });
        assert_eq!(scene.build(), 1);
    }
}

/// Who waits for what the folder holds hears of what it holds by then.
#[test]
fn a_reload_is_answered_when_what_it_waits_for_is_replaced() {
    let scene = Scene::quick("startup = \"4s\"");
    let bad = builds::bytes(2, "hang-at-load");
    scene.folder.put(FILE, &bad);
    wait_for_rejection(&scene, &bad);
    let answer = thread::scope(|scope| {
        let reload = scope.spawn(|| scene.act("reload"));
        // It is the reload that has it tried again.
        wait_for(&scene, &bad, "lifecycle", &json!("LOADING"));
        scene.put(3, "fine");
        reload.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["generation"], Build::fine(3).generation());
    assert_eq!(scene.build(), 3);
}

/// The builds of which generations drain.
fn draining(status: &Value) -> BTreeSet<String> {
    let generations = status["generations"].as_array().unwrap().iter();
    let draining = generations.filter(|it| it["lifecycle"] == "DRAINING");
    let draining = draining.filter_map(|it| it["generation"].as_str());
    draining.map(str::to_owned).collect()
}

/// A daemon whose plugin has had no build but this one.
fn first(bytes: &[u8], config: &str) -> Scene {
    let folder = Folder::new();
    folder.put(FILE, bytes);
    let daemon = Daemon::start(&folder, config);
    Scene { daemon, folder }
}

/// Waits until this file is told not to be served.
fn wait_for_rejection(scene: &Scene, bytes: &[u8]) {
    wait_for(scene, bytes, "lifecycle", &json!("REJECTED"));
}

/// Waits until the status has this of the generation of this file.
fn wait_for(scene: &Scene, bytes: &[u8], field: &str, value: &Value) {
    wait::until(&format!("{field} of the build to be {value}"), || {
        (scene.generation(bytes)?[field] == *value).then_some(())
    });
}
