//! Workers begin when they are needed, end when they are not, and leave nothing behind.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::process::Process;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, all_gone, config, fine};
use bulkhead_tests::{on_each_platform, wait};
use serde_json::json;

on_each_platform![
    op_01_nothing_is_left_of_a_daemon_that_was_killed,
    op_02_workers_end_with_their_daemon,
    op_08_a_worker_is_replaced_while_much_is_held,
    workers_begin_with_the_first_call_and_end_when_idle,
    workers_that_are_kept_warm_stay,
    descriptors_and_threads_stay_flat_over_crashes,
];

fn op_01_nothing_is_left_of_a_daemon_that_was_killed(platform: Platform) {
    let mut scene = Scene::new(platform, "concurrency = 2");
    fine(&scene.daemon, TWIN);
    scene.fine();
    let client = scene.daemon.begin(FAULTS, "hang");
    scene.daemon.wait_for(FAULTS, "in_flight", 1);
    let workers = scene.daemon.process().children();
    assert!(workers.len() >= 2, "{workers:?}");
    let address = scene.daemon.address();
    scene.daemon.kill();
    let start = Instant::now();
    all_gone("the workers of a dead daemon", &workers);
    println!("the workers were gone after {:?}", start.elapsed());
    drop(client);
    // The connections that the daemon had do not keep the address; a child would.
    wait::until("the port to be free", || bind_again(address));
    check_state(&scene);
    scene.daemon = Daemon::start(&scene.folder, &config(platform, ""));
    scene.fine();
    fine(&scene.daemon, TWIN);
    scene.daemon.kill();
    check_state(&scene);
}

/// Listens there, as the next daemon would.
fn bind_again(address: SocketAddr) -> Option<TcpListener> {
    TcpListener::bind(address).ok()
}

/// What stands in the state folder when its daemon has ended is meant to.
fn check_state(scene: &Scene) {
    const MEANT: [&str; 11] = [
        "host",
        "jobs.db",
        "jobs.db-shm",
        "jobs.db-wal",
        "payloads",
        "generations",
        "history",
        "probes",
        "lock",
        "quarantine",
        "quarantine.json",
    ];
    let state = fs::read_dir(scene.folder.beside("state"))
        .unwrap()
        .flatten();
    for entry in state {
        let name = entry.file_name().to_string_lossy().into_owned();
        wait::until(&format!("{name} to be gone or empty"), || {
            let is_empty = fs::read_dir(entry.path()).map_or(true, |inner| inner.count() == 0);
            (MEANT.contains(&name.as_str()) || (is_empty && !entry.path().is_file())).then_some(())
        });
    }
}

fn op_02_workers_end_with_their_daemon(platform: Platform) {
    let mut scene = Scene::new(platform, "concurrency = 2");
    fine(&scene.daemon, TWIN);
    let answer = scene.during(&json!({"way": "sleep", "millis": 300}), || {
        scene.daemon.terminate()
    });
    assert_eq!(
        answer.status, 200,
        "a call that was accepted: {}",
        answer.body
    );
    let workers = scene.daemon.process().children();
    assert_eq!(scene.daemon.exit_code(), Some(0));
    all_gone("the workers", &workers);
    check_state(&scene);
}

/// The bodies are what the daemon has much of; that its own memory makes no difference either is
/// measured by the benchmark.
fn op_08_a_worker_is_replaced_while_much_is_held(platform: Platform) {
    let scene = Scene::new(platform, "");
    let image = vec![7; 32 << 20];
    fine(&scene.daemon, TWIN);
    scene.fine();
    let sleep = json!({"way": "sleep", "millis": 700});
    let send = || scene.daemon.post_raw(TWIN, "image/x-any", &image, &sleep);
    thread::scope(|scope| {
        let held: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        scene.daemon.wait_for(TWIN, "in_flight", 1);
        for _ in 0..2 {
            assert_eq!(scene.call(&way("segv")).status, 502);
            let start = Instant::now();
            scene.fine();
            println!("a call after the crash: {:?}", start.elapsed());
            scene.serves_on(3);
        }
        for held in held {
            assert_eq!(held.join().unwrap().status, 200);
        }
    });
}

fn workers_begin_with_the_first_call_and_end_when_idle(platform: Platform) {
    let scene = Scene::new(platform, "idle = \"300ms\"");
    let started = || {
        scene.daemon.plugin(FAULTS)["workers"]["started"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(started(), 0);
    let worker = scene.fine();
    assert_eq!(started(), 1);
    assert_eq!(scene.workers(), [worker]);
    all_gone("a worker that has nothing to do", &[worker]);
    wait::until("the count to say so", || {
        scene.workers().is_empty().then_some(())
    });
    assert_ne!(scene.fine(), worker);
    assert_eq!(scene.daemon.plugin(FAULTS)["crashes"], 0);
}

fn workers_that_are_kept_warm_stay(platform: Platform) {
    let scene = Scene::new(platform, "warm = 1\nidle = \"100ms\"\nconcurrency = 2");
    scene.fine();
    // A call that comes before the warm one is there has one of its own, until that is idle.
    let only_one = || <[Process; 1]>::try_from(scene.workers()).ok();
    let [worker] = wait::until("one worker to be left", only_one);
    // Longer than an idle worker has, by the calls of a neighbour.
    let start = Instant::now();
    while start.elapsed().as_millis() < 500 {
        fine(&scene.daemon, TWIN);
    }
    assert_eq!(scene.workers(), [worker]);
    assert_eq!(scene.fine(), worker);
}

fn descriptors_and_threads_stay_flat_over_crashes(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 2");
    let ways = [
        "segv",
        "abort",
        "exit-now",
        "segv-in-thread",
        "hang",
        "forge",
        "panic",
    ];
    let round = || {
        for crime in ways {
            // Short for what hangs, and for nothing else.
            let answer = scene.daemon.call_within(FAULTS, &way(crime), 500);
            assert!(
                answer.status >= 500 && answer.status != 503,
                "{}",
                answer.body
            );
            scene.serves_on(3);
        }
        fine(&scene.daemon, TWIN);
    };
    let daemon = scene.daemon.process();
    let (mut descriptors, mut threads) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        round();
        wait::until("no zombie", || daemon.zombies().is_empty().then_some(()));
        descriptors.push(daemon.descriptors().len());
        threads.push(daemon.threads());
    }
    println!("descriptors {descriptors:?}, threads {threads:?}");
    assert!(descriptors[7] <= descriptors[1] + 12, "{descriptors:?}");
    assert!(threads[7] <= threads[1] + 4, "{threads:?}");
}
