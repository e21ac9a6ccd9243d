//! How a plugin's calls have ended. Counting takes no lock, and those that go well are sharded by thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use crossbeam_utils::CachePadded;

use super::by_code::ByCode;
use super::latency::{Latency, Percentiles};
use crate::envelope::{Body, Envelope};
use crate::error::Code;
use crate::histogram::{Cells, Distribution, Histogram};

/// How calls have ended, counted without a lock. A call is one increment, of the bucket of its outcome: whoever reads
/// meanwhile finds it in all sums or in none.
#[derive(Default)]
pub(super) struct Counters {
    successes: Histogram,
    /// Rarer by far, and dearer: they need no shards.
    errors: ByCode<Cells>,
}

/// How calls have ended, and how long they took, by their outcome.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// Calls that gave a result.
    pub successes: Distribution,
    /// The others.
    pub errors: BTreeMap<&'static str, (Code, Distribution)>,
}

impl Outcomes {
    /// Takes in what was counted elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.successes.add(&other.successes);
        for (word, (code, theirs)) in &other.errors {
            let mine = self.errors.entry(word);
            mine.or_insert((*code, Distribution::default()))
                .1
                .add(theirs);
        }
    }

    /// All calls, whatever came of them.
    pub fn all(&self) -> Distribution {
        let mut all = self.successes;
        self.errors.values().for_each(|(_, some)| all.add(some));
        all
    }

    /// Calls that ended with the end of a worker.
    pub fn crashes(&self) -> u64 {
        let crashes = self.errors.values().filter(|(code, _)| code.is_crash());
        crashes.map(|(_, some)| some.count()).sum()
    }
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
        match error {
            None => self.successes.record(nanoseconds),
            Some(envelope) => self.errors.of(envelope.code()).record(nanoseconds),
        }
    }

    /// As of now.
    pub(super) fn outcomes(&self) -> Outcomes {
        let errors = self.errors.all();
        let errors = errors.map(|(code, cells)| (code.as_str(), (code, cells.distribution())));
        Outcomes {
            errors: errors.collect(),
            successes: self.successes.distribution(),
        }
    }

    /// As of now.
    pub(super) fn totals(&self) -> Totals {
        let successes = self.successes.distribution();
        let mut totals = Totals {
            successes: successes.count(),
            nanoseconds: successes.nanoseconds(),
            ..Totals::default()
        };
        for (code, cells) in self.errors.all() {
            let found = cells.distribution();
            let count = found.count();
            totals.errors += count;
            totals.faults += if code.is_fault() { count } else { 0 };
            totals.crashes += if code.is_crash() { count } else { 0 };
            totals.nanoseconds += found.nanoseconds();
        }
        totals
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
    fn each_call_is_counted_under_its_outcome() {
        let counters = Counters::default();
        let cancelled = Envelope::new(&CallError::Cancelled, None);
        counters.count(200_000, None);
        counters.count(1, Some(&cancelled));
        counters.count(2, Some(&cancelled));
        let mut outcomes = counters.outcomes();
        assert_eq!(outcomes.errors["cancelled"].1.count(), 2);
        outcomes.add(&counters.outcomes());
        assert_eq!((outcomes.successes.count(), outcomes.crashes()), (2, 0));
        let all = outcomes.all();
        assert_eq!((all.count(), all.nanoseconds()), (6, 400_006));
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
