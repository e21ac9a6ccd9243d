//! Builds change again and again under load: no call is lost, none is of two builds, and nothing piles
//! up in the daemon.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bulkhead_tests::builds::BUILDS;
use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::load::{Load, Report, Shape};
use bulkhead_tests::reload::{QUICK, Scene};
use bulkhead_tests::wait;
use bulkhead_tests::workers::all_gone;
use serde_json::json;

const CLIENTS: usize = 8;

/// How many calls a second they make together.
const RATE: f64 = 500.0;

/// What is kept of calls that have ended is soon as much as it may be.
const FORGETFUL: &str = "jobs.retention.count = 100\n";

/// Reloads before the first look: caches fill, and arenas grow to what they need.
const WARM: u64 = 10;

/// What a daemon may have more of after any number of reloads.
const MORE_MEMORY: u64 = 16 << 20;
const MORE_DESCRIPTORS: usize = 4;
const MORE_THREADS: u64 = 4;

#[test]
fn soak_reload() {
    let reloads = number("BULKHEAD_SOAK_RELOADS").unwrap_or(100);
    let scene = Scene::new(&format!("{FORGETFUL}{QUICK}"));
    let load = load(&scene);
    alternate(&scene, &load, WARM);
    let before = Footprint::of(&scene.daemon);
    alternate(&scene, &load, reloads);
    let after = Footprint::of(&scene.daemon);
    let report = load.stop();
    println!("{} reloads, {}", reloads + WARM, report.tell());
    after.check(&before);
    report.check_all_fine();
    report.check_one_build_a_worker();
    check_end(scene);
}

/// One call in a hundred ends its worker, while builds change.
#[test]
fn soak_reload_and_crash() {
    let seconds = number("BULKHEAD_SOAK_SECONDS").unwrap_or(10);
    let scene = Scene::new(&format!("{FORGETFUL}{QUICK}"));
    let fine = load(&scene);
    let crashes = Shape {
        clients: 1,
        options: way("crash"),
        rate: Some(RATE / 100.0),
    };
    let crashes = Load::shaped(&scene.daemon, BUILDS, crashes);
    alternate(&scene, &fine, WARM);
    let before = Footprint::of(&scene.daemon);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut reloads = WARM;
    while Instant::now() < end {
        alternate(&scene, &fine, 2);
        reloads += 2;
    }
    let after = Footprint::of(&scene.daemon);
    let (fine, crashes) = (fine.stop(), crashes.stop());
    println!("{reloads} reloads, {}", fine.tell());
    check_crashes(&crashes);
    after.check(&before);
    fine.check_all_fine();
    fine.check_one_build_a_worker();
    check_end(scene);
}

fn load(scene: &Scene) -> Load {
    let shape = Shape {
        clients: CLIENTS,
        options: json!({}),
        rate: Some(RATE),
    };
    Load::shaped(&scene.daemon, BUILDS, shape)
}

/// So many reloads, which end with the build that served before where their number is even.
fn alternate(scene: &Scene, load: &Load, reloads: u64) {
    for reload in 0..reloads {
        let number = if reload % 2 == 0 { 2 } else { 1 };
        scene.put(number, "fine");
        load.wait_for_build(number);
    }
}

/// Each was told as what it was, and nobody was held back for them.
fn check_crashes(crashes: &Report) {
    let mut codes = BTreeMap::new();
    for record in &crashes.records {
        *codes.entry(record.status).or_insert(0) += 1;
    }
    println!("{} crashes: {codes:?}", crashes.calls());
    assert_eq!(codes.keys().collect::<Vec<_>>(), [&Some(502)]);
}

/// No zombie while it runs, one generation, and no process after it.
fn check_end(mut scene: Scene) {
    let daemon = scene.daemon.process();
    wait::until("no zombie", || daemon.zombies().is_empty().then_some(()));
    wait::until("one generation", || {
        let status = scene.daemon.plugin(BUILDS);
        (status["generations"].as_array()?.len() == 1).then_some(())
    });
    let workers = daemon.children();
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code(), Some(0));
    all_gone("the workers", &workers);
}

/// What the daemon has of the machine.
#[derive(Debug)]
struct Footprint {
    resident: u64,
    descriptors: usize,
    threads: u64,
    children: usize,
    zombies: usize,
}

impl Footprint {
    /// Of some looks the smallest: calls, workers and reloads come and go meanwhile.
    fn of(daemon: &Daemon) -> Self {
        let process = daemon.process();
        let looks = (0..50).map(|_| Self {
            resident: process.resident(),
            descriptors: process.descriptors().len(),
            threads: process.threads(),
            children: process.children().len(),
            zombies: process.zombies().len(),
        });
        let least = looks.reduce(|one, other| Self {
            resident: one.resident.min(other.resident),
            descriptors: one.descriptors.min(other.descriptors),
            threads: one.threads.min(other.threads),
            children: one.children.min(other.children),
            zombies: one.zombies.min(other.zombies),
        });
        least.unwrap()
    }

    /// Not more than before, but for chance.
    fn check(&self, before: &Self) {
        println!("before: {before:?}\nafter:  {self:?}");
        let descriptors = before.descriptors + MORE_DESCRIPTORS;
        assert!(self.descriptors <= descriptors, "descriptors");
        assert!(self.threads <= before.threads + MORE_THREADS, "threads");
        assert!(self.children <= before.children + CLIENTS, "children");
        assert_eq!(self.zombies, 0, "zombies");
        assert!(self.resident <= before.resident + MORE_MEMORY, "memory");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
