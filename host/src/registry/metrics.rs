//! How a plugin's calls have ended. Counting takes no lock: counters are sharded by thread.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use crossbeam_utils::CachePadded;

use super::latency::{Latency, Percentiles};
use crate::envelope::{Body, Envelope};

const SHARDS: usize = 8;

/// How calls have ended, counted without a lock.
#[derive(Default)]
pub(super) struct Counters {
    shards: [CachePadded<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    successes: AtomicU64,
    errors: AtomicU64,
    faults: AtomicU64,
    crashes: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What counters have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that gave a result.
    pub successes: u64,
    /// Calls that gave an error.
    pub errors: u64,
    /// Those of them that speak against the plugin, and not against the request.
    pub faults: u64,
    /// Those of them that ended with the end of a worker.
    pub crashes: u64,
    /// How long all of them took.
    pub nanoseconds: u64,
}

impl Totals {
    /// All calls.
    pub fn calls(&self) -> u64 {
        self.successes + self.errors
    }
}

impl Counters {
    /// Counts a call.
    pub(super) fn count(&self, nanoseconds: u64, error: Option<&Envelope>) {
        let shard = &self.shards[shard_of_this_thread()];
        shard.nanoseconds.fetch_add(nanoseconds, Relaxed);
        let Some(envelope) = error else {
            shard.successes.fetch_add(1, Relaxed);
            return;
        };
        let code = envelope.code();
        shard.errors.fetch_add(1, Relaxed);
        shard.faults.fetch_add(code.is_fault().into(), Relaxed);
        shard.crashes.fetch_add(code.is_crash().into(), Relaxed);
    }

    /// As of now.
    pub(super) fn totals(&self) -> Totals {
        let sum = |field: fn(&Shard) -> &AtomicU64| -> u64 {
            let shards = self.shards.iter();
            shards.map(|shard| field(shard).load(Relaxed)).sum()
        };
        Totals {
            successes: sum(|shard| &shard.successes),
            errors: sum(|shard| &shard.errors),
            faults: sum(|shard| &shard.faults),
            crashes: sum(|shard| &shard.crashes),
            nanoseconds: sum(|shard| &shard.nanoseconds),
        }
    }
}

/// Counters, times and the latest error of a plugin, over all its generations.
#[derive(Default)]
pub struct Metrics {
    counters: Counters,
    latest: CachePadded<Latest>,
    latency: OnceLock<Box<Latency>>,
    last_error: ArcSwapOption<Body>,
}

#[derive(Default)]
struct Latest {
    state: AtomicU8,
    nanoseconds: AtomicU64,
    // Nanoseconds since the plugin was first called: the clock on the wall is read when asked for.
    ended: AtomicU64,
}

const IDLE: u8 = 0;
const SUCCESS: u8 = 1;
const ERROR: u8 = 2;

/// All counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// `IDLE`, `SUCCESS` or `ERROR`.
    pub state: &'static str,
    /// Calls that gave a result.
    pub successes: u64,
    /// Calls that gave an error.
    pub errors: u64,
    /// Those of them that ended with the end of a worker.
    pub crashes: u64,
    /// How long the latest call took.
    pub last: Option<Duration>,
    /// How long calls took on average.
    pub average: Option<Duration>,
    /// When the latest call ended.
    pub last_used: Option<DateTime<Utc>>,
    /// The recent window's latencies.
    pub latency: Option<Percentiles>,
    /// The latest error.
    pub last_error: Option<Arc<Body>>,
}

impl Metrics {
    /// Counts a call that took from `began` to `ended`, and gives how long that was in nanoseconds.
    pub fn record(&self, began: Instant, ended: Instant, error: Option<&Envelope>) -> u64 {
        let took = u64::try_from((ended - began).as_nanos()).unwrap_or(u64::MAX);
        self.counters.count(took, error);
        let state = if error.is_none() { SUCCESS } else { ERROR };
        self.latest.state.store(state, Relaxed);
        self.latest.nanoseconds.store(took, Relaxed);
        let latency = self.latency.get_or_init(Box::default);
        self.latest
            .ended
            .store(latency.since_origin(ended), Relaxed);
        latency.record(took, ended);
        if let Some(envelope) = error {
            self.last_error
                .store(Some(Arc::new(envelope.error.clone())));
        }
        took
    }

    /// How calls have ended so far.
    pub fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// The recent window's latencies.
    pub(super) fn latency(&self) -> Option<Percentiles> {
        self.latency.get()?.percentiles(Instant::now())
    }

    /// Everything, as of now.
    pub fn snapshot(&self) -> Snapshot {
        let totals = self.counters.totals();
        let calls = totals.calls();
        let (latest, latency) = (&self.latest, self.latency.get());
        let state = match latest.state.load(Relaxed) {
            IDLE => "IDLE",
            SUCCESS => "SUCCESS",
            _ => "ERROR",
        };
        Snapshot {
            state,
            successes: totals.successes,
            errors: totals.errors,
            crashes: totals.crashes,
            last: (calls > 0).then(|| Duration::from_nanos(latest.nanoseconds.load(Relaxed))),
            average: totals
                .nanoseconds
                .checked_div(calls)
                .map(Duration::from_nanos),
            last_used: latency.map(|latency| latency.wall_clock(latest.ended.load(Relaxed))),
            latency: self.latency(),
            last_error: self.last_error.load_full(),
        }
    }
}

fn shard_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    if SHARD.get() == usize::MAX {
        SHARD.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
    }
    SHARD.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CallError;

    fn record(metrics: &Metrics, took: Duration, error: Option<&Envelope>) {
        let began = Instant::now();
        metrics.record(began, began + took, error);
    }

    #[test]
    fn the_average_is_the_mean() {
        let metrics = Metrics::default();
        assert_eq!(metrics.snapshot().state, "IDLE");
        assert_eq!(metrics.snapshot().average, None);
        for micros in [10, 20, 60] {
            record(&metrics, Duration::from_micros(micros), None);
        }
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.average, Some(Duration::from_micros(30)));
        assert_eq!(snapshot.last, Some(Duration::from_micros(60)));
        assert_eq!(
            (snapshot.successes, snapshot.errors, snapshot.state),
            (3, 0, "SUCCESS")
        );
    }

    #[test]
    fn an_error_is_kept_until_the_next() {
        let metrics = Metrics::default();
        let envelope = Envelope::new(&CallError::Cancelled, None);
        record(&metrics, Duration::ZERO, Some(&envelope));
        record(&metrics, Duration::ZERO, None);
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.errors, snapshot.state), (1, "SUCCESS"));
        assert_eq!(snapshot.last_error.unwrap().message, "cancelled");
    }

    #[test]
    fn the_end_of_a_worker_is_counted_besides() {
        let metrics = Metrics::default();
        let traceback = crate::error::Traceback::default;
        for error in [
            CallError::Crashed {
                signal: "SIGSEGV".to_owned(),
                retryable: false,
                traceback: traceback(),
            },
            CallError::Exited {
                exit_code: 3,
                traceback: traceback(),
            },
            CallError::OutOfMemory {
                limit: 1 << 20,
                traceback: traceback(),
            },
            CallError::Protocol {
                problem: "it said nothing".to_owned(),
                traceback: traceback(),
            },
            CallError::Cancelled,
        ] {
            record(&metrics, Duration::ZERO, Some(&Envelope::new(&error, None)));
        }
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.errors, snapshot.crashes), (5, 4));
    }

    #[test]
    fn threads_lose_no_count() {
        let metrics = Metrics::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| record(&metrics, Duration::ZERO, None)));
            }
        });
        assert_eq!(metrics.snapshot().successes, 4000);
    }
}
