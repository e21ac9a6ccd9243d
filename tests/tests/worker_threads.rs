//! A worker that takes several calls at a time: what they share, and what becomes of the others when
//! one goes wrong.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::thread;

use bulkhead_tests::daemon::{Answer, way};
use bulkhead_tests::on_each_platform;
use bulkhead_tests::workers::{Platform, Scene, TWIN, fine};
use serde_json::{Value, json};

on_each_platform![
    calls_share_one_worker,
    a_crash_takes_its_siblings_along_and_they_may_try_again,
    a_deadline_takes_its_siblings_along_and_they_may_try_again,
    one_death_of_many_calls_is_one_crash,
];

const SHARED: &str = "[plugin.twin]\nthreads = 3\nconcurrency = 3\ndeadline = '20s'";

fn scene(platform: Platform) -> Scene {
    Scene::with(platform, "", SHARED)
}

fn sleep(millis: u32) -> Value {
    json!({"way": "sleep", "millis": millis})
}

/// Two calls that sleep, and what `then` gives while they do.
fn beside_sleepers(scene: &Scene, then: impl FnOnce() -> Answer) -> (Vec<Answer>, Answer) {
    thread::scope(|scope| {
        let sleeper = || scene.daemon.call(TWIN, &sleep(15_000));
        let sleepers = [scope.spawn(sleeper), scope.spawn(sleeper)];
        scene.daemon.wait_for(TWIN, "in_flight", 2);
        let answer = then();
        let sleepers = sleepers.map(|sleeper| sleeper.join().unwrap());
        (sleepers.into(), answer)
    })
}

fn check_retryable(sleepers: &[Answer]) {
    for answer in sleepers {
        let details = answer.details();
        assert_eq!(answer.status, 502, "{}", answer.body);
        assert_eq!(details["code"], "crash", "{}", answer.body);
        assert_eq!(details["retryable"], true, "{}", answer.body);
    }
}

fn calls_share_one_worker(platform: Platform) {
    let scene = scene(platform);
    let answers = scene.in_parallel(3, |_| scene.daemon.call(TWIN, &sleep(300)));
    let pid = |answer: &Answer| answer.result()["pid"].clone();
    assert!(answers.iter().all(|answer| pid(answer) == pid(&answers[0])));
    let workers = &scene.daemon.plugin(TWIN)["workers"];
    assert_eq!(workers["alive"], 1, "{workers}");
}

fn a_crash_takes_its_siblings_along_and_they_may_try_again(platform: Platform) {
    let scene = scene(platform);
    fine(&scene.daemon, TWIN);
    let (sleepers, culprit) = beside_sleepers(&scene, || scene.daemon.call(TWIN, &way("segv")));
    check_retryable(&sleepers);
    assert_eq!(culprit.details()["signal"], "SIGSEGV");
    assert_eq!(culprit.details().get("retryable"), None);
    fine(&scene.daemon, TWIN);
}

fn a_deadline_takes_its_siblings_along_and_they_may_try_again(platform: Platform) {
    let scene = scene(platform);
    fine(&scene.daemon, TWIN);
    let (sleepers, culprit) =
        beside_sleepers(&scene, || scene.daemon.call_within(TWIN, &way("hang"), 300));
    check_retryable(&sleepers);
    assert_eq!(culprit.details()["code"], "timeout");
    fine(&scene.daemon, TWIN);
}

fn one_death_of_many_calls_is_one_crash(platform: Platform) {
    let scene = scene(platform);
    // Three calls end with each of two deaths: six errors, and no quarantine.
    for _ in 0..2 {
        fine(&scene.daemon, TWIN);
        let exit = json!({"way": "exit", "code": 3});
        let (_, culprit) = beside_sleepers(&scene, || scene.daemon.call(TWIN, &exit));
        assert_eq!(culprit.details()["code"], "exited", "{}", culprit.body);
    }
    fine(&scene.daemon, TWIN);
    assert_eq!(scene.daemon.plugin(TWIN)["lifecycle"], "READY");
}

#[test]
fn a_plugin_that_is_not_thread_safe_gets_no_threads() {
    let scene = Scene::new(Platform::Linux, "threads = 2");
    let answer = scene.call(&way("fine"));
    assert_eq!(answer.status, 503);
    let reason = answer.reason();
    assert!(reason.starts_with("not_thread_safe: "), "{reason}");
    fine(&scene.daemon, TWIN);
}
