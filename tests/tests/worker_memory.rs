//! A plugin that uses things up has its share of them and no more.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::process::Process;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, fine, said};
use bulkhead_tests::{on_each_platform, wait};
use serde_json::{Value, json};

on_each_platform![
    me_02_a_worker_is_replaced_after_so_many_calls,
    me_04_bytes_in_flight_have_a_limit,
    me_07_workers_forget_the_memory_of_requests_that_are_long_over,
];

const MEBIBYTE: u64 = 1 << 20;

/// Nothing but the sandbox limits memory, so this is no test for a platform without.
#[test]
fn me_01_memory_without_end_ends_its_worker() {
    let scene = Scene::new(Platform::Linux, "memory = \"64MiB\"");
    fine(&scene.daemon, TWIN);
    let before = scene.daemon.resident();
    let details = json!({"code": "out_of_memory", "limit_bytes": 64 * MEBIBYTE});
    for _ in 0..3 {
        let answer = scene.check(&way("allocate"), |it| {
            it.status == 502 && *it.details() == details
        });
        assert_eq!(answer.body["error"]["type"], "ExecutionError");
    }
    let after = scene.daemon.resident();
    assert!(
        after < before + 16 * MEBIBYTE,
        "the daemon: {before} bytes, then {after}"
    );
}

#[test]
fn me_02_a_leak_ends_at_a_watermark_between_calls() {
    let scene = Scene::new(Platform::Linux, "memory = \"64MiB\"\nconcurrency = 1");
    let leak = json!({"way": "leak", "bytes": MEBIBYTE});
    let pids: BTreeSet<_> = (0..200)
        .map(|_| pid(&scene.call(&leak).result()["pid"]))
        .collect();
    println!(
        "200 calls that leak 1 MiB each, of 64 MiB: {} workers",
        pids.len()
    );
    assert!((4..=40).contains(&pids.len()), "{pids:?}");
    let status = scene.daemon.plugin(FAULTS);
    assert_eq!(
        (&status["error_count"], &status["crashes"]),
        (&json!(0), &json!(0))
    );
}

fn me_02_a_worker_is_replaced_after_so_many_calls(platform: Platform) {
    let scene = Scene::new(platform, "recycle = 5\nconcurrency = 1");
    let leak = json!({"way": "leak", "bytes": MEBIBYTE});
    let pids: Vec<_> = (0..20)
        .map(|_| pid(&scene.call(&leak).result()["pid"]))
        .collect();
    let workers: BTreeSet<_> = pids.iter().collect();
    assert_eq!(workers.len(), 4, "{pids:?}");
    assert_eq!(scene.daemon.plugin(FAULTS)["crashes"], 0);
}

fn me_04_bytes_in_flight_have_a_limit(platform: Platform) {
    let scene = Scene::with(
        platform,
        "concurrency = 2",
        "server.max_in_flight = \"8MiB\"\nserver.max_body = \"4MiB\"",
    );
    let image = vec![7; 3 << 20];
    let send = |plugin, way: &Value| scene.daemon.post_raw(plugin, "image/x-any", &image, way);
    assert_eq!(
        send(FAULTS, &way("fine")).result()["image_bytes"],
        image.len()
    );
    thread::scope(|scope| {
        let sleep = || send(FAULTS, &json!({"way": "sleep", "millis": 1500}));
        let held = [(); 2].map(|()| scope.spawn(sleep));
        scene.daemon.wait_for(FAULTS, "in_flight", 2);
        // Another plugin's request counts as well: it is the host's memory.
        let answer = send(TWIN, &way("fine"));
        let brief = answer.brief();
        assert!(
            brief.starts_with("429 PluginError overloaded: requests of "),
            "{brief}"
        );
        assert!(answer.header("retry-after").is_some());
        fine(&scene.daemon, TWIN);
        for call in held {
            assert_eq!(call.join().unwrap().status, 200);
        }
    });
    assert_eq!(send(TWIN, &way("fine")).status, 200);
}

/// Without another call: a worker that keeps a mapping keeps its pages.
fn me_07_workers_forget_the_memory_of_requests_that_are_long_over(platform: Platform) {
    let scene = Scene::new(platform, "concurrency = 4\nwarm = 1");
    let image = vec![7; 20 << 20];
    let nap = json!({"way": "sleep", "millis": 300});
    let send = || scene.daemon.post_raw(FAULTS, "image/x-any", &image, &nap);
    thread::scope(|scope| {
        for call in [(); 4].map(|()| scope.spawn(send)) {
            assert_eq!(call.join().unwrap().status, 200);
        }
    });
    let workers = scene.daemon.process().children();
    let mapped = || -> usize { workers.iter().map(|worker| requests(*worker)).sum() };
    assert!(mapped() > 0, "what workers map can be read");
    wait::until("large requests to be forgotten", || {
        (mapped() == 0).then_some(())
    });
    let status = scene.daemon.plugin(FAULTS);
    let told = &status["workers"];
    assert_eq!(told["alive"], told["started"], "{status}");
    assert_eq!(told["killed"], 0, "{status}");
    scene.serves_on(3);
}

/// How many large memories for requests a process maps.
fn requests(process: Process) -> usize {
    let mapped = process.mapped();
    let large = mapped.lines().filter(|line| {
        let is_ours = line.contains("/memfd:bulkhead") || line.contains("/memory-");
        is_ours && line.contains(" r--s ") && size(line) >= 16 * MEBIBYTE
    });
    large.count()
}

/// The bytes of a mapping: its line begins with where it begins and ends.
fn size(line: &str) -> u64 {
    let range = line
        .split(' ')
        .next()
        .and_then(|range| range.split_once('-'));
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    range.map_or(0, |(start, end)| number(end) - number(start))
}

#[test]
fn me_05_threads_have_a_limit_of_the_plugins_own() {
    let scene = Scene::new(Platform::Linux, "tasks = 64");
    let bomb = json!({"way": "thread-bomb", "count": 10_000});
    let answer = scene.call(&bomb);
    assert_eq!(said(&answer, "end"), "EAGAIN");
    let number: u64 = said(&answer, "number").parse().unwrap();
    assert!(number < 64, "{number} threads");
    scene.fine();
    // The neighbour has what it had.
    let answer = scene
        .daemon
        .call(TWIN, &json!({"way": "thread-bomb", "count": 100}));
    assert_eq!(said(&answer, "end"), "done");
}

#[test]
fn me_05_open_files_have_a_limit() {
    let scene = Scene::new(Platform::Linux, "open_files = 64\nread = [\"/dev/null\"]");
    let answer = scene.call(&json!({"way": "file-bomb", "count": 1000}));
    assert_eq!(said(&answer, "end"), "EMFILE");
    let number: u64 = said(&answer, "number").parse().unwrap();
    assert!((1..64).contains(&number), "{number} files");
    scene.fine();
    scene.fine();
    fine(&scene.daemon, TWIN);
}

#[test]
fn me_06_files_are_refused_or_small() {
    let scene = Scene::new(Platform::Linux, "file_size = \"1MiB\"");
    let write =
        |path: Option<&str>| json!({"way": "write-file", "bytes": 8 * MEBIBYTE, "path": path});
    let state = scene.folder.beside("state").join("faults-was-here");
    for path in [None, Some("/tmp/faults-was-here"), state.to_str()] {
        let answer = scene.call(&write(path));
        if answer.status == 502 {
            assert_eq!(answer.details()["signal"], "SIGXFSZ", "{}", answer.body);
        } else {
            let told = said(&answer, "write");
            assert!(
                ["EACCES", "EPERM", "ENOENT", "EROFS", "EFBIG"].contains(&told),
                "{path:?}: {told}"
            );
            let bytes: u64 = said(&answer, "bytes").parse().unwrap();
            assert!(bytes <= MEBIBYTE, "{path:?}: {bytes} bytes");
        }
        scene.serves_on(3);
    }
    assert!(!state.exists());
    assert!(!fs::exists("/tmp/faults-was-here").unwrap());
}

#[test]
fn me_06_a_file_of_a_grant_has_a_limit_too() {
    let scratch = tempfile::tempdir().unwrap();
    bulkhead_tests::folder::chmod(scratch.path(), 0o777);
    let faults = format!("file_size = \"1MiB\"\nwrite = [{:?}]", scratch.path());
    let scene = Scene::new(Platform::Linux, &faults);
    let path = scratch.path().join("it");
    let write = |bytes: u64| json!({"way": "write-file", "bytes": bytes, "path": path});
    assert_eq!(said(&scene.call(&write(MEBIBYTE)), "write"), "done");
    let answer = scene.call(&write(8 * MEBIBYTE));
    if answer.status == 502 {
        assert_eq!(answer.details()["signal"], "SIGXFSZ", "{}", answer.body);
    } else {
        assert_eq!(said(&answer, "write"), "EFBIG");
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), MEBIBYTE);
    scene.fine();
}

/// What a worker leaves behind when it is killed in the midst of it.
#[test]
fn me_06_scratch_files_go_with_their_worker() {
    let scene = Scene::new(Platform::Linux, "");
    let count = || files_below(&scene.folder.beside("state"));
    scene.fine();
    let before = count();
    let answer = scene.call(&json!({"way": "write-file", "bytes": MEBIBYTE}));
    println!(
        "a file in the folder for temporary files: {}",
        answer.body["result"]["said"]
    );
    scene.check_codes(&way("segv"), &["crash"]);
    wait::until("scratch files to be gone", || {
        (count() <= before).then_some(())
    });
    fine_after(&scene.daemon);
}

fn fine_after(daemon: &Daemon) {
    fine(daemon, FAULTS);
    fine(daemon, TWIN);
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => 1,
        })
        .sum()
}

fn pid(value: &Value) -> i64 {
    value.as_i64().unwrap()
}
