//! A plugin that dies takes its own call along and nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::time::Instant;

use bulkhead_tests::daemon::{Answer, Daemon, way};
use bulkhead_tests::process::Process;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, all_gone, config, fine};
use bulkhead_tests::{on_each_platform, wait};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};

on_each_platform![
    cr_01_a_fault_costs_its_own_call,
    cr_02_whatever_the_signal_it_is_named,
    cr_03_an_exit_is_told_with_its_code,
    cr_03_a_thread_that_ends_its_call_ends_it,
    cr_04_a_fault_with_much_memory_is_told_at_once,
    cr_05_a_worker_that_is_killed_from_outside_is_a_crash,
    cr_06_a_crash_loop_is_quarantined,
    cr_06_a_quarantine_outlives_the_daemon,
    cr_08_workers_that_died_together_are_replaced,
    cr_09_without_capacity_a_call_is_turned_away,
    cr_10_a_poison_image_is_tried_once,
    rn_02_a_panic_costs_its_own_call,
    a_crash_is_told_in_the_log,
];

fn cr_01_a_fault_costs_its_own_call(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 4");
    scene.check_brief(&way("segv"), SEGV, &segv());
    // Callers 0 and 1 go wrong once each, amid others that do not.
    let answers = scene.in_parallel(6, |caller| match caller {
        0 | 1 => scene.call(&way("segv")),
        _ => worst_of_20(&scene),
    });
    for (caller, answer) in answers.iter().enumerate() {
        let expected = if caller < 2 { SEGV } else { "200" };
        assert_eq!(answer.brief(), expected, "caller {caller}");
    }
    assert_eq!(scene.daemon.plugin(FAULTS)["crashes"], 3);
}

/// The first call of many that does not go well, or the last one.
fn worst_of_20(scene: &Scene) -> Answer {
    let mut calls = (0..20).map(|_| scene.call(&way("fine")));
    let failed = calls.find(|answer| answer.status != 200);
    failed.unwrap_or_else(|| scene.call(&way("fine")))
}

fn cr_02_whatever_the_signal_it_is_named(platform: Platform) {
    let scene = Scene::new(platform, "");
    for (options, signals) in [
        (way("segv"), &["SIGSEGV"][..]),
        (way("segv-in-thread"), &["SIGSEGV"]),
        (way("segv-unhandled"), &["SIGSEGV"]),
        (way("jump-away"), &["SIGSEGV"]),
        (way("lose-stack"), &["SIGSEGV"]),
        // Rust's own handler says that it was an overflow, and aborts.
        (way("stack-overflow"), &["SIGSEGV", "SIGABRT"]),
        (way("stack-overflow-in-thread"), &["SIGSEGV", "SIGABRT"]),
        (way("abort"), &["SIGABRT"]),
        (way("bad-free"), &["SIGABRT"]),
        (way("double-panic"), &["SIGABRT"]),
        (way("fpe"), &["SIGFPE"]),
        (way("ill"), &["SIGILL"]),
        (way("bus"), &["SIGBUS"]),
        (raise(Signal::KILL), &["SIGKILL"]),
        (raise(Signal::TRAP), &["SIGTRAP"]),
        (raise(Signal::SYS), &["SIGSYS"]),
    ] {
        scene.check(&options, |answer| {
            signals.iter().any(|signal| is_crash(answer, signal))
        });
    }
}

fn cr_03_an_exit_is_told_with_its_code(platform: Platform) {
    let scene = Scene::new(platform, "");
    for (way, code) in [("exit", 0), ("exit", 3), ("exit-now", 0), ("exit-now", 3)] {
        let brief =
            format!("502 ExecutionError exited: the plugin ended its worker with exit code {code}");
        let details = json!({"code": "exited", "exit_code": code});
        scene.check_brief(&json!({"way": way, "code": code}), &brief, &details);
    }
}

fn cr_03_a_thread_that_ends_its_call_ends_it(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"500ms\"");
    // Unwinding that Rust does not know aborts; a thread that is just gone answers nobody.
    scene.check_codes(&way("pthread-exit"), &["crash", "exited"]);
    scene.check_codes(&way("thread-exit"), &["crash", "exited", "timeout"]);
}

fn cr_04_a_fault_with_much_memory_is_told_at_once(platform: Platform) {
    let scene = Scene::new(platform, "memory = \"1GiB\"");
    let options = json!({"way": "segv-with-resident", "bytes": 512 << 20});
    scene.check_brief(&options, SEGV, &segv());
    let start = Instant::now();
    scene.call(&options);
    println!("a call that uses 512 MiB and faults: {:?}", start.elapsed());
    scene.fine();
}

fn cr_05_a_worker_that_is_killed_from_outside_is_a_crash(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 1");
    let worker = scene.fine();
    let answer = scene.during(&way("hang"), || worker.signal(Signal::KILL));
    assert!(is_crash(&answer, "SIGKILL"), "{}", answer.body);
    assert_ne!(scene.fine(), worker);
}

fn cr_06_a_crash_loop_is_quarantined(platform: Platform) {
    let scene = Scene::new(platform, "");
    let neighbour = fine(&scene.daemon, TWIN);
    crash_until_quarantined(&scene.daemon, 3);
    let answer = scene.call(&way("fine"));
    check_quarantined(&answer);
    assert_eq!(scene.daemon.get("/readyz").status, 200);
    assert_eq!(fine(&scene.daemon, TWIN), neighbour);
    // The first try after the back-off decides: it crashes, so the wait doubles.
    crash_until_quarantined(&scene.daemon, 1);
    let again = scene.call(&way("fine"));
    assert!(
        seconds(&again) >= seconds(&answer),
        "{again:?} after {answer:?}"
    );
    // Now it goes well.
    wait::until("a call to go well again", || {
        (scene.call(&way("fine")).status == 200).then_some(())
    });
    assert_eq!(scene.daemon.plugin(FAULTS)["lifecycle"], "READY");
    scene.serves_on(9);
}

fn cr_06_a_quarantine_outlives_the_daemon(platform: Platform) {
    let mut scene = Scene::new(platform, "");
    // Three times, so that the back-off is longer than the restart takes.
    crash_until_quarantined(&scene.daemon, 3);
    crash_until_quarantined(&scene.daemon, 1);
    crash_until_quarantined(&scene.daemon, 1);
    scene.daemon.kill();
    scene.daemon = Daemon::start(&scene.folder, &config(platform, ""));
    check_quarantined(&scene.call(&way("fine")));
    assert_eq!(scene.daemon.plugin(FAULTS)["lifecycle"], "QUARANTINED");
    fine(&scene.daemon, TWIN);
    let enabled = scene.daemon.enable(FAULTS);
    assert!((200..300).contains(&enabled.status), "{enabled:?}");
    scene.fine();
    assert_eq!(scene.daemon.plugin(FAULTS)["lifecycle"], "READY");
}

fn cr_08_workers_that_died_together_are_replaced(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 2\nwarm = 2");
    scene.fine();
    let before = wait::until("two workers to be there", || both(&scene));
    before.iter().for_each(|worker| worker.signal(Signal::SEGV));
    let start = Instant::now();
    all_gone("the old workers", &before);
    let is_new = |workers: &Vec<_>| !workers.iter().any(|worker| before.contains(worker));
    wait::until("two others to be there", || both(&scene).filter(is_new));
    println!("two workers again after {:?}", start.elapsed());
    scene.serves_on(4);
}

/// The workers, where there are two that run.
fn both(scene: &Scene) -> Option<Vec<Process>> {
    let workers = scene.workers();
    let are_two = workers.len() == 2 && workers.iter().all(|worker| worker.is_alive());
    are_two.then_some(workers)
}

fn cr_09_without_capacity_a_call_is_turned_away(platform: Platform) {
    let scene = Scene::with(platform, "", "workers.spares = 0");
    let daemon = &scene.daemon;
    let process = rustix::process::Pid::from_raw(daemon.process().0);
    // Those that the plugins were tried in may still be there for a moment.
    wait::until("no worker to be left", || {
        daemon.process().children().is_empty().then_some(())
    });
    // No descriptor more than there are: the connection that is used here is one of them.
    let few = Rlimit {
        current: Some(daemon.process().free_descriptor()),
        ..getrlimit(Resource::Nofile)
    };
    let before = prlimit(process, Resource::Nofile, few).unwrap();
    let answer = daemon.call(TWIN, &way("fine"));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(
        answer.reason().starts_with("no_capacity"),
        "{}",
        answer.reason()
    );
    prlimit(process, Resource::Nofile, before).unwrap();
    wait::until("capacity to be back", || {
        (daemon.call(TWIN, &way("fine")).status == 200).then_some(())
    });
    scene.fine();
}

fn cr_10_a_poison_image_is_tried_once(platform: Platform) {
    let scene = Scene::new(platform, "");
    let answer = scene.check_brief(&way("segv"), SEGV, &segv());
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(
        (&status["crashes"], &status["error_count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(status["last_error"]["details"], *answer.details());
    // Its words stand in a line of their own, once, and in the account of its death.
    let words = r#""message":"about to write"#;
    assert_eq!(scene.daemon.log().matches(words).count(), 1);
}

fn rn_02_a_panic_costs_its_own_call(platform: Platform) {
    let scene = Scene::new(platform, "");
    for _ in 0..4 {
        let answer = scene.check(&way("panic"), |it| {
            it.brief() == "500 ExecutionError panic: kaboom"
        });
        let location = answer.details()["location"].as_str().unwrap();
        assert!(location.contains("src/lib.rs:"), "{location}");
    }
    // A panic is no crash, however often.
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(
        (&status["crashes"], &status["lifecycle"]),
        (&json!(0), &json!("READY"))
    );
}

fn a_crash_is_told_in_the_log(platform: Platform) {
    let scene = Scene::new(platform, "");
    for (way_name, words) in [
        (
            "segv",
            &["SIGSEGV", "0x10", SEGV_FRAME, "about to write to 0x10"][..],
        ),
        (
            "segv-in-thread",
            &["SIGSEGV", "0x10", "culprit", SEGV_FRAME],
        ),
        ("stack-overflow", &["fixture_faults::crash::deeper"]),
        ("abort", &["SIGABRT", "fixture_faults::crash::abort"]),
        (
            "double-panic",
            &[
                "SIGABRT",
                "fixture_faults::crash::double_panic",
                "the first panic",
                "a panic in a panic",
            ],
        ),
        ("fpe", &["SIGFPE", "fixture_faults::crash::fpe"]),
    ] {
        let answer = scene.check_codes(&way(way_name), &["crash"]);
        assert_eq!(answer.body["_internal"], Value::Null);
        let line = scene.line(&answer);
        assert_eq!(
            (&line["code"], &line["plugin"]),
            (&json!("crash"), &json!(FAULTS))
        );
        let traceback = line["traceback"].as_str().unwrap_or_default();
        for word in words {
            assert!(
                traceback.contains(word),
                "{way_name}: no {word} in {traceback}"
            );
        }
    }
}

/// The function that has inlined the one that faults, at the latter's place.
const SEGV_FRAME: &str = "fixture_faults::crash::segv at core/src/ptr/";

const SEGV: &str = "502 ExecutionError crash: the plugin's worker died of SIGSEGV";

fn segv() -> Value {
    json!({"code": "crash", "signal": "SIGSEGV"})
}

fn raise(signal: Signal) -> Value {
    json!({"way": "raise", "code": signal.as_raw()})
}

fn is_crash(answer: &Answer, signal: &str) -> bool {
    let brief = format!("502 ExecutionError crash: the plugin's worker died of {signal}");
    answer.brief() == brief && *answer.details() == json!({"code": "crash", "signal": signal})
}

/// Crashes it until calls are turned away: after `crashes` that were let through.
fn crash_until_quarantined(daemon: &Daemon, crashes: usize) {
    let mut seen = 0;
    wait::until("the plugin to be quarantined", || {
        let answer = daemon.call(FAULTS, &way("segv"));
        seen += usize::from(answer.status == 502);
        (answer.status == 503 && seen > 0).then_some(())
    });
    assert_eq!(seen, crashes);
    let status = daemon.plugin(FAULTS);
    assert_eq!(status["lifecycle"], "QUARANTINED");
    assert!(
        status["reason"]
            .as_str()
            .unwrap()
            .starts_with("quarantined: "),
        "{status}"
    );
}

fn check_quarantined(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.details()["code"], "plugin_unavailable");
    assert!(
        answer.reason().starts_with("quarantined: "),
        "{}",
        answer.reason()
    );
    assert!((1..=300).contains(&seconds(answer)), "{answer:?}");
}

fn seconds(answer: &Answer) -> u64 {
    let header = answer
        .header("retry-after")
        .expect("it says when to come back");
    header.parse().unwrap()
}
