//! What a plugin cannot reach, and whom its poison does not.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::daemon::{Answer, way};
use bulkhead_tests::on_each_platform;
use bulkhead_tests::process::Process;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, all_gone, fine, said};
use serde_json::{Value, json};

on_each_platform![
    rn_05_what_one_plugin_poisons_another_does_not_see,
    rn_06_closed_descriptors_are_the_workers_own,
    rn_12_floats_of_one_plugin_are_not_anothers,
    a_worker_has_no_descriptor_of_the_daemons,
];

fn rn_05_what_one_plugin_poisons_another_does_not_see(platform: Platform) {
    let scene = Scene::new(platform, "");
    let probe = || scene.daemon.call(TWIN, &way("probe")).result()["said"].clone();
    let daemon = || {
        let daemon = scene.daemon.process();
        let folder = fs::read_link(format!("/proc/{}/cwd", daemon.0)).unwrap();
        let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.0)).unwrap();
        (
            folder,
            daemon.field("Umask"),
            daemon.field("SigBlk"),
            limits,
        )
    };
    let before = (probe(), daemon());
    for _ in 0..2 {
        let poison = scene.call(&way("poison"));
        assert_eq!(said(&poison, "limit"), "done");
        assert_eq!((probe(), daemon()), before);
    }
    // A worker that starts afterwards is clean too.
    scene.check_codes(&way("segv"), &["crash"]);
    let clean = scene.call(&way("probe"));
    let environment = said(&clean, "environment");
    assert!(!environment.contains("FAULTS_POISON"), "{environment}");
    for what in ["umask", "locale", "limit"] {
        assert_eq!(said(&clean, what), before.0[what], "{what}");
    }
    let neighbour = fine(&scene.daemon, TWIN);
    assert!(neighbour.is_alive());
}

fn rn_06_closed_descriptors_are_the_workers_own(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"1s\"");
    scene.check_codes(&way("close-fds"), &["200", "crash", "exited", "protocol"]);
    scene.check_codes(&way("close-all-fds"), &["crash", "exited", "protocol"]);
}

fn rn_12_floats_of_one_plugin_are_not_anothers(platform: Platform) {
    let scene = Scene::new(platform, "");
    for _ in 0..2 {
        scene.check_codes(&way("poison-floats"), &["200", "crash"]);
        let answer = scene.daemon.call(TWIN, &way("fine"));
        assert_eq!(answer.result()["third"], json!(1.0 / 3.0));
        // Nor does the next caller of the same plugin see them.
        assert_eq!(scene.call(&way("fine")).result()["third"], json!(1.0 / 3.0));
    }
}

fn a_worker_has_no_descriptor_of_the_daemons(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 2");
    let (worker, neighbour) = (scene.fine(), fine(&scene.daemon, TWIN));
    let daemon = scene.daemon.process();
    assert!(daemon.sockets().is_disjoint(&worker.sockets()));
    assert!(neighbour.sockets().is_disjoint(&worker.sockets()));
    let state = scene.folder.beside("state");
    let lock = state.join("lock").display().to_string();
    for process in [worker, neighbour] {
        let open = process.descriptors();
        println!("{open:?}");
        assert!(open.len() <= 16, "{open:?}");
        assert!(!open.contains(&lock), "{open:?}");
    }
}

#[test]
fn rn_10_a_fork_is_refused_or_ends_with_its_worker() {
    let scene = Scene::new(Platform::Linux, "deadline = \"500ms\"");
    for crime in ["fork", "double-fork"] {
        let answer = scene.call(&way(crime));
        let children = answer.result()["said"]["child"]
            .as_str()
            .map(|pid| pid.parse().unwrap());
        let children: Vec<_> = children.map(Process).into_iter().collect();
        if children.is_empty() {
            assert_eq!(said(&answer, "fork"), "EPERM");
        }
        assert_eq!(scene.call(&way("hang")).status, 504);
        all_gone("children of the worker", &children);
        scene.fine();
    }
    fine(&scene.daemon, TWIN);
}

#[test]
fn rn_11_what_is_not_the_plugins_is_out_of_reach() {
    let scene = Scene::new(Platform::Linux, "");
    let neighbour = fine(&scene.daemon, TWIN);
    let state = scene.folder.beside("state");
    for victim in [scene.daemon.process(), neighbour] {
        let answer = scene.call(&reach(&scene, victim, Some(&state)));
        let done = done(&answer);
        println!("{}", answer.body["result"]["said"]);
        assert!(done.is_empty(), "it could {done:?} of {victim:?}");
    }
    assert_eq!(scene.daemon.get("/healthz").status, 200);
    assert_eq!(fine(&scene.daemon, TWIN), neighbour);
    scene.fine();
}

#[test]
fn rn_11_a_worker_says_itself_that_it_is_shut_in() {
    let scene = Scene::new(Platform::Linux, "");
    let own = scene.call(&way("probe"));
    assert_eq!(said(&own, "nonewprivs"), "1");
    assert_eq!(said(&own, "seccomp"), "2");
    assert_eq!(said(&own, "capeff"), "0000000000000000");
    let neighbour = scene.daemon.call(TWIN, &way("probe"));
    let uid = |answer: &Answer| said(answer, "uid").to_owned();
    if rustix::process::geteuid().is_root() {
        // Each has a user of its own, so that one's limits are not the other's.
        assert!(!uid(&own).contains("0\t"), "{}", uid(&own));
        assert_ne!(uid(&own), uid(&neighbour));
    }
}

#[test]
fn rn_11_a_required_sandbox_is_there_or_nothing_runs() {
    let scene = Scene::with(Platform::Linux, "", "workers.sandbox = \"required\"");
    let own = scene.call(&way("probe"));
    assert_eq!(said(&own, "seccomp"), "2");
}

#[test]
fn what_is_granted_is_in_reach_and_nothing_else() {
    let (readable, writable) = (open_folder(), open_folder());
    fs::write(readable.path().join("model"), "weights").unwrap();
    let faults = format!(
        "network = true\nread = [{:?}]\nwrite = [{:?}]\nenv = [\"MODEL\"]",
        readable.path(),
        writable.path()
    );
    let environment = [("MODEL", "large"), ("SECRET", "token")];
    let scene = Scene::among(Platform::Linux, &faults, "", &environment);
    let victim = scene.daemon.process();
    let write = |folder: &tempfile::TempDir| {
        let path = folder.path().join("it");
        let answer = scene.call(&json!({"way": "write-file", "bytes": 0, "path": path}));
        said(&answer, "write").to_owned()
    };
    assert_eq!(write(&writable), "done");
    assert_eq!(write(&readable), "EACCES");
    let model = readable.path().join("model");
    let answer = scene.call(&reach(&scene, victim, Some(&model)));
    assert_eq!(said(&answer, "read path"), "done");
    assert_eq!(said(&answer, "connect"), "done");
    for what in [
        "read /etc/passwd",
        "write /tmp",
        "run a program",
        "signal",
        "trace",
    ] {
        assert_ne!(said(&answer, what), "done", "{what}");
    }
    let environment = |plugin| {
        let answer = scene.daemon.call(plugin, &way("probe"));
        said(&answer, "environment").to_owned()
    };
    let (granted, other) = (environment(FAULTS), environment(TWIN));
    println!("{granted:?}, {other:?}");
    assert!(
        granted.contains("MODEL") && !granted.contains("SECRET"),
        "{granted}"
    );
    assert!(
        !other.contains("MODEL") && !other.contains("SECRET"),
        "{other}"
    );
    // The neighbour was granted nothing.
    let answer = scene
        .daemon
        .call(TWIN, &reach(&scene, victim, Some(&model)));
    assert!(done(&answer).is_empty(), "{:?}", done(&answer));
}

fn reach(scene: &Scene, victim: Process, path: Option<&std::path::Path>) -> Value {
    json!({
        "way": "reach",
        "pid": victim.0,
        "port": scene.daemon.address().port(),
        "path": path,
    })
}

/// The attempts that went through.
fn done(answer: &Answer) -> Vec<String> {
    let said = answer.result()["said"].as_object().unwrap().iter();
    let done = said.filter(|(_, told)| *told == "done");
    done.map(|(what, _)| what.clone()).collect()
}

/// A folder that anybody may write to, as far as its mode goes.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    bulkhead_tests::folder::chmod(folder.path(), 0o777);
    folder
}
