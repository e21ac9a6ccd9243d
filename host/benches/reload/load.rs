//! What callers notice of reloads: the same load without them and with one after the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::builds::Builds;
use crate::daemon::Daemon;
use crate::table::{millis, percentile, print};

/// Who calls at a time.
const CLIENTS: u32 = 8;
/// How long one round takes.
const ROUND: Duration = Duration::from_secs(5);
/// How often each way has its turn.
const ROUNDS: usize = 4;
/// From one reload to the next.
const PERIOD: Duration = Duration::from_millis(500);
/// By default.
const SETTLE: Duration = Duration::from_millis(300);

/// How many calls there are.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    /// From one call of a client to its next; as fast as answers come, where there is none.
    pause: Option<Duration>,
}

const LOADS: [Load; 2] = [
    Load {
        name: "400 a second",
        pause: Some(Duration::from_millis(20)),
    },
    Load {
        name: "as many as can be",
        pause: None,
    },
];

/// What came of one way.
#[derive(Default)]
struct Course {
    took: Vec<Duration>,
    reloads: usize,
}

impl Load {
    /// One round of it, with reloads or without.
    fn run(self, daemon: &mut Daemon<'_>, reloads: bool, course: &mut Course) {
        let (is_over, latest) = (AtomicBool::new(false), AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS).map(|_| daemon.client()).collect();
        thread::scope(|scope| {
            let callers = clients.into_iter().zip(0..).map(|(client, index)| {
                let (is_over, latest) = (&is_over, &latest);
                scope.spawn(move || {
                    let mut turn =
                        Instant::now() + self.pause.unwrap_or_default() / CLIENTS * index;
                    let mut took = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        if let Some(pause) = self.pause {
                            thread::sleep(turn.saturating_duration_since(Instant::now()));
                            turn += pause;
                        }
                        let answered = client.call();
                        latest.fetch_max(answered.build.into(), Ordering::Relaxed);
                        took.push(answered.took);
                    }
                    took
                })
            });
            let callers: Vec<_> = callers.collect();
            course.reloads += spend(daemon, reloads, &latest);
            is_over.store(true, Ordering::Relaxed);
            for caller in callers {
                course.took.extend(caller.join().unwrap());
            }
        });
    }
}

/// The time of one round. Gives how many reloads there were in it, all of which were waited for.
fn spend(daemon: &mut Daemon<'_>, reloads: bool, latest: &AtomicUsize) -> usize {
    let end = Instant::now() + ROUND;
    if !reloads {
        thread::sleep(ROUND);
        return 0;
    }
    let mut count = 0;
    while Instant::now() < end {
        let next = Instant::now() + PERIOD;
        let (number, _) = daemon.install();
        count += 1;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        while latest.load(Ordering::Relaxed) < number.into() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    count
}

pub(crate) fn measure(runtime: &Runtime) {
    let mut daemon = Daemon::start(runtime, Builds::new(0), SETTLE);
    let rows = LOADS.map(|load| {
        let (mut without, mut with) = (Course::default(), Course::default());
        for _ in 0..ROUNDS {
            load.run(&mut daemon, false, &mut without);
            load.run(&mut daemon, true, &mut with);
        }
        row(load, &without, &with)
    });
    println!(
        "\n{CLIENTS} clients, without reloads and with one each {} ms, no call failed:",
        PERIOD.as_millis()
    );
    let head = [
        "load", "calls", "reloads", "p50", "with", "ratio", "p99", "with", "ratio", "max", "with",
    ];
    print(&head, rows);
}

fn row(load: Load, without: &Course, with: &Course) -> Vec<String> {
    let calls = without.took.len() + with.took.len();
    let mut row = vec![
        load.name.to_owned(),
        calls.to_string(),
        with.reloads.to_string(),
    ];
    for percent in [50, 99, 100] {
        let pair = [without, with].map(|course| percentile(&course.took, percent));
        row.extend(pair.map(millis));
        if percent < 100 {
            let ratio = pair[1].as_secs_f64() / pair[0].as_secs_f64();
            row.push(format!("{ratio:.2}"));
        }
    }
    row
}
