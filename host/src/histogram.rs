//! How long things took, counted in fixed buckets for good: one atomic add each, sharded by thread. Knows nothing of what
//! is counted.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_utils::CachePadded;

const SHARDS: usize = 8;
/// The upper bounds of the buckets, in microseconds; beyond the last there is one more bucket.
const BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// Counts durations; any number of threads at a time, without a lock.
#[derive(Debug, Default)]
pub struct Histogram {
    shards: [CachePadded<Cells>; SHARDS],
}

/// One set of counters: enough by itself for what is rare.
#[derive(Debug, Default)]
pub struct Cells {
    nanoseconds: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// What was counted until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    nanoseconds: u64,
    buckets: [u64; BUCKETS],
}

impl Histogram {
    /// Counts what took so long.
    pub fn record(&self, nanoseconds: u64) {
        self.shards[shard_of_this_thread()].record(nanoseconds);
    }

    /// As of now.
    pub fn distribution(&self) -> Distribution {
        let mut all = Distribution::default();
        self.shards
            .iter()
            .for_each(|shard| all.add(&shard.distribution()));
        all
    }
}

impl Cells {
    /// Counts what took so long.
    pub fn record(&self, nanoseconds: u64) {
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
        self.buckets[bucket(nanoseconds)].fetch_add(1, Relaxed);
    }

    /// As of now.
    pub fn distribution(&self) -> Distribution {
        Distribution {
            nanoseconds: self.nanoseconds.load(Relaxed),
            buckets: std::array::from_fn(|index| self.buckets[index].load(Relaxed)),
        }
    }
}

impl Distribution {
    /// Takes in what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.nanoseconds += other.nanoseconds;
        let pairs = self.buckets.iter_mut().zip(other.buckets);
        pairs.for_each(|(mine, theirs)| *mine += theirs);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long all of them took.
    pub fn nanoseconds(&self) -> u64 {
        self.nanoseconds
    }

    /// The upper bound of each bucket in seconds, and how many fell into that bucket alone.
    pub fn buckets(&self) -> [(f64, u64); BUCKETS] {
        std::array::from_fn(|index| {
            let bound = BOUNDS_US.get(index).copied().map(Duration::from_micros);
            let bound = bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
            (bound, self.buckets[index])
        })
    }
}

/// What takes exactly as long as a bound is below it.
fn bucket(nanoseconds: u64) -> usize {
    BOUNDS_US.partition_point(|bound| bound * 1_000 < nanoseconds)
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

    #[test]
    fn each_duration_is_in_the_bucket_that_holds_it() {
        let check = |nanoseconds: u64, bound: f64| {
            let histogram = Histogram::default();
            histogram.record(nanoseconds);
            let buckets = histogram.distribution().buckets();
            let found: Vec<_> = buckets.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(found, [&(bound, 1)], "{nanoseconds}");
        };
        check(0, 0.0001);
        check(100_000, 0.0001);
        check(100_001, 0.00025);
        check(1_000_000_000, 1.0);
        check(60_000_000_000, 60.0);
        check(60_000_000_001, f64::INFINITY);
        check(u64::MAX, f64::INFINITY);
    }

    #[test]
    fn threads_lose_no_count() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|took| histogram.record(took)));
            }
        });
        let all = histogram.distribution();
        assert_eq!((all.count(), all.nanoseconds()), (4000, 4 * 499_500));
    }
}
