//! Latencies of the recent window in log-linear buckets of at most 1/16 width: recording is two
//! atomic adds, percentiles are computed when asked for.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// The window is the current minute and the four before it.
const SLOTS: usize = 5;
const SLOT_LENGTH: Duration = Duration::from_secs(60);
/// Each power of two is split in 16.
const SPLIT_BITS: u32 = 4;
const BUCKETS: usize = (64 - SPLIT_BITS as usize + 1) << SPLIT_BITS;

pub(super) struct Latency {
    origin: Instant,
    slots: [Slot; SLOTS],
}

struct Slot {
    // Which minute since the origin the counts are of.
    minute: AtomicU64,
    max: AtomicU64,
    counts: [AtomicU32; BUCKETS],
}

/// The latencies below which a share of the calls stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
    pub p999: Duration,
    pub max: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        let slot = |minute| Slot {
            minute: AtomicU64::new(minute as u64),
            max: AtomicU64::new(0),
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        Self {
            origin: Instant::now(),
            slots: std::array::from_fn(slot),
        }
    }
}

impl Latency {
    pub(super) fn record(&self, nanoseconds: u64, now: Instant) {
        let minute = self.minute(now);
        let slot = &self.slots[(minute % SLOTS as u64) as usize];
        slot.begin(minute);
        slot.counts[bucket(nanoseconds)].fetch_add(1, Relaxed);
        slot.max.fetch_max(nanoseconds, Relaxed);
    }

    /// Nanoseconds from the first call to `now`.
    pub(super) fn since_origin(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    /// What the clock on the wall says of a moment that [`since_origin`](Self::since_origin) gave.
    pub(super) fn wall_clock(&self, since_origin: u64) -> DateTime<Utc> {
        let ago = self
            .origin
            .elapsed()
            .saturating_sub(Duration::from_nanos(since_origin));
        Utc::now() - ago
    }

    pub(super) fn percentiles(&self, now: Instant) -> Option<Percentiles> {
        let oldest = self.minute(now).saturating_sub(SLOTS as u64 - 1);
        let recent = || {
            self.slots
                .iter()
                .filter(|slot| slot.minute.load(Relaxed) >= oldest)
        };
        let count = |index: usize| {
            recent()
                .map(|slot| u64::from(slot.counts[index].load(Relaxed)))
                .sum()
        };
        let counts: Vec<u64> = (0..BUCKETS).map(count).collect();
        let max = recent()
            .map(|slot| slot.max.load(Relaxed))
            .max()
            .unwrap_or(0);
        let total: u64 = counts.iter().sum();
        let at = |share: f64| {
            let rank = ((total as f64 * share).ceil() as u64).max(1);
            Duration::from_nanos(value_at(&counts, rank).min(max))
        };
        (total > 0).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(max),
        })
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs() / SLOT_LENGTH.as_secs()
    }
}

impl Slot {
    /// Clears what is left of an older minute. A count that falls into the clearing may be lost:
    /// percentiles of a minute bear that, and no call waits.
    fn begin(&self, minute: u64) {
        let found = self.minute.load(Relaxed);
        if found < minute
            && self
                .minute
                .compare_exchange(found, minute, Relaxed, Relaxed)
                .is_ok()
        {
            self.counts.iter().for_each(|count| count.store(0, Relaxed));
            self.max.store(0, Relaxed);
        }
    }
}

fn bucket(value: u64) -> usize {
    let split = 1 << SPLIT_BITS;
    if value < split {
        return value as usize;
    }
    let octave = 63 - value.leading_zeros() - SPLIT_BITS;
    let within = (value >> octave) & (split - 1);
    (((u64::from(octave) + 1) << SPLIT_BITS) + within) as usize
}

/// The largest value that falls into a bucket.
fn upper_bound(index: usize) -> u64 {
    let split = 1 << SPLIT_BITS;
    if index < split {
        return index as u64;
    }
    let (octave, within) = ((index >> SPLIT_BITS) - 1, (index & (split - 1)) as u64);
    ((split as u64 + within + 1) << octave).wrapping_sub(1)
}

fn value_at(counts: &[u64], rank: u64) -> u64 {
    let mut seen = 0;
    let index = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    index.map_or(0, upper_bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_that_holds_it() {
        for value in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, (1 << bit) + 1]) {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            assert!(upper_bound(index) >= value, "{value}");
            assert!(upper_bound(index) - value <= value / 16, "{value}");
        }
        assert_eq!(upper_bound(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn percentiles_are_within_a_sixteenth() {
        let latency = Latency::default();
        let now = Instant::now();
        assert_eq!(latency.percentiles(now), None);
        (1..=1000).for_each(|n| latency.record(n * 1000, now));
        let found = latency.percentiles(now).unwrap();
        for (found, exact) in [(found.p50, 500), (found.p90, 900), (found.p99, 990)] {
            let exact = Duration::from_micros(exact);
            assert!(
                found >= exact && found <= exact + exact / 16,
                "{found:?} for {exact:?}"
            );
        }
        assert_eq!(found.max, Duration::from_micros(1000));
    }

    #[test]
    fn old_minutes_are_forgotten() {
        let latency = Latency::default();
        let now = Instant::now();
        latency.record(1_000_000, now);
        let later = now + SLOT_LENGTH * SLOTS as u32;
        assert_eq!(latency.percentiles(later), None);
        latency.record(1_000, later);
        assert_eq!(
            latency.percentiles(later).unwrap().max,
            Duration::from_nanos(1_000)
        );
    }
}
