//! The daemon is asked to stop in the middle of reloads: it ends well, and leaves nobody behind.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_tests::process::Process;
use bulkhead_tests::reload::Scene;
use bulkhead_tests::wait;
use rustix::process::{getpid, set_child_subreaper};

/// How often.
const RUNS: u64 = 20;

/// Reloads may be anywhere on their way after this many milliseconds.
const LATEST: u64 = 600;

#[test]
fn rl_06_a_stop_amid_reloads_ends_well_and_leaves_nobody() {
    // What loses its parent becomes ours.
    let this = getpid();
    set_child_subreaper(Some(this)).unwrap();
    let this = Process(this.as_raw_nonzero().get());
    for run in 0..RUNS {
        stop_amid_reloads(run);
        wait::until("the daemon's workers to be gone", || {
            this.children().is_empty().then_some(())
        });
    }
}

/// Reloads go on after the daemon was asked to stop, so that some come while it stops.
fn stop_amid_reloads(run: u64) {
    let mut scene = Scene::quick("");
    let load = scene.load(2);
    let pause = Duration::from_millis(run * 7919 % LATEST);
    let is_over = AtomicBool::new(false);
    let process = scene.daemon.process();
    let folder = scene.folder.clone();
    let took = thread::scope(|scope| {
        scope.spawn(|| {
            for number in (2..10).cycle() {
                let bytes = bulkhead_tests::builds::Build::fine(number).bytes();
                folder.put(bulkhead_tests::builds::FILE, &bytes);
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_millis(30));
            }
        });
        // The point in time is what is tested.
        thread::sleep(pause);
        let asked = Instant::now();
        process.signal(rustix::process::Signal::TERM);
        let code = scene.daemon.exit_code();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(code, Some(0), "after {pause:?}");
        asked.elapsed()
    });
    println!("asked after {pause:?}: ended {took:?} later");
    drop(load);
    assert!(!scene.daemon.log().contains("panicked"));
}
