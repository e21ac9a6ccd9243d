//! Two plugins under load, of which one call in a hundred goes wrong in some way: nobody else may
//! notice, and nothing may pile up.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_tests::daemon::{Daemon, way};
use bulkhead_tests::wait;
use bulkhead_tests::workers::{FAULTS, Platform, Scene, TWIN, all_gone};

const CLIENTS: u64 = 4;

/// Crimes, and the codes that they may be told by.
const CRIMES: [(&str, &[&str]); 14] = [
    ("segv", &["crash"]),
    ("segv-in-thread", &["crash"]),
    ("segv-unhandled", &["crash"]),
    ("jump-away", &["crash"]),
    ("stack-overflow", &["crash"]),
    ("abort", &["crash"]),
    ("fpe", &["crash"]),
    ("ill", &["crash"]),
    ("bad-free", &["crash"]),
    ("double-panic", &["crash"]),
    ("exit-now", &["exited"]),
    ("panic", &["panic"]),
    ("forge", &["protocol"]),
    ("hang", &["timeout"]),
];

#[test]
fn soak_chaos() {
    soak(Platform::Linux, 45);
}

#[test]
fn soak_chaos_portable() {
    soak(Platform::Portable, 15);
}

fn soak(platform: Platform, seconds: u64) {
    let time = Duration::from_secs(number("BULKHEAD_SOAK_SECONDS").unwrap_or(seconds));
    let seed = number("BULKHEAD_SOAK_SEED").unwrap_or(20_261_122);
    println!("{time:?} with seed {seed}");
    // As many workers as clients: no call waits for one that hangs.
    let keys = format!("deadline = \"1s\"\nconcurrency = {CLIENTS}");
    let scene = Scene::new(platform, &format!("{keys}\n[plugin.twin]\n{keys}"));
    let figures = Mutex::new(Figures::default());
    let end = Instant::now() + time;
    let footprints = thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (figures, daemon) = (&figures, &scene.daemon);
            scope.spawn(move || run(daemon, Dice(seed + client), end, figures));
        }
        let early = scope.spawn(|| footprint(&scene.daemon, end - time * 3 / 4));
        let late = footprint(&scene.daemon, end - time / 10);
        (early.join().unwrap(), late)
    });
    let figures = figures.into_inner().unwrap();
    println!("{}\n{footprints:?}", figures.tell());
    figures.check();
    let (early, late) = footprints;
    assert!(late.descriptors <= early.descriptors + 8, "descriptors");
    assert!(late.threads <= early.threads + 2, "threads");
    assert!(late.resident <= early.resident + (16 << 20), "memory");
    check_end(scene);
}

/// No zombie while it runs, no process after it.
fn check_end(mut scene: Scene) {
    let daemon = scene.daemon.process();
    wait::until("no zombie", || daemon.zombies().is_empty().then_some(()));
    for plugin in [FAULTS, TWIN] {
        assert_eq!(
            scene.daemon.plugin(plugin)["lifecycle"],
            "READY",
            "{plugin}"
        );
    }
    let workers = daemon.children();
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code(), Some(0));
    all_gone("the workers", &workers);
}

/// One client, until the end.
fn run(daemon: &Daemon, mut dice: Dice, end: Instant, figures: &Mutex<Figures>) {
    while Instant::now() < end {
        let plugin = if dice.below(2) == 0 { FAULTS } else { TWIN };
        let crime =
            (dice.below(100) == 0).then(|| CRIMES[dice.below(CRIMES.len() as u64) as usize]);
        let name = crime.map_or("fine", |(name, _)| name);
        let start = Instant::now();
        let answer = daemon.call(plugin, &way(name));
        let took = start.elapsed();
        let code = answer.details()["code"]
            .as_str()
            .unwrap_or("200")
            .to_owned();
        let expected = crime.map_or(&["200"][..], |(_, codes)| codes);
        let mut figures = figures.lock().unwrap();
        if !expected.contains(&code.as_str()) {
            figures
                .wrong
                .push(format!("{plugin} {name}: {}", answer.body));
        }
        match crime {
            Some((name, _)) => *figures.crimes.entry(name).or_default() += 1,
            None => figures.innocent.push(took),
        }
    }
}

/// What has happened.
#[derive(Default)]
struct Figures {
    innocent: Vec<Duration>,
    crimes: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Figures {
    fn tell(&self) -> String {
        let mut times = self.innocent.clone();
        times.sort_unstable();
        let part = |share: usize| times[(times.len() - 1) * share / 1000];
        format!(
            "{} innocent calls: p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}; {} crimes: {:?}; {} wrong answers",
            times.len(),
            part(500),
            part(990),
            part(999),
            part(1000),
            self.crimes.values().sum::<usize>(),
            self.crimes,
            self.wrong.len()
        )
    }

    fn check(&self) {
        let some: Vec<_> = self.wrong.iter().take(10).collect();
        assert!(
            some.is_empty(),
            "{} wrong answers: {some:#?}",
            self.wrong.len()
        );
        assert!(
            !self.crimes.is_empty(),
            "nothing went wrong in {} calls",
            self.innocent.len()
        );
    }
}

/// What the daemon has of the machine.
#[derive(Debug)]
struct Footprint {
    descriptors: usize,
    threads: u64,
    resident: u64,
}

/// Of some looks within a second from then on the smallest: calls come and go meanwhile, and so does the memory in which
/// the functions of a crash are named.
fn footprint(daemon: &Daemon, from: Instant) -> Footprint {
    thread::sleep(from.saturating_duration_since(Instant::now()));
    let process = daemon.process();
    let looks: Vec<_> = (0..50)
        .map(|_| {
            thread::sleep(Duration::from_millis(20));
            (process.descriptors().len(), process.resident())
        })
        .collect();
    Footprint {
        descriptors: looks.iter().map(|look| look.0).min().unwrap_or_default(),
        threads: process.threads(),
        resident: looks.iter().map(|look| look.1).min().unwrap_or_default(),
    }
}

/// The same throws for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
