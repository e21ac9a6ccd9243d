//! Counts what becomes of tries to tell of the ends of jobs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::jobs::CallbackEnd;

/// The counts of one start of the host.
#[derive(Debug, Default)]
pub(super) struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallbackCounts {
    /// Tries that were heard.
    pub delivered: u64,
    /// Tries that were not, to be followed by another.
    pub failed: u64,
    /// Tries that were not, and were the last.
    pub given_up: u64,
}

impl Tally {
    pub(super) fn count(&self, end: &CallbackEnd) {
        let count = match (end.delivered_at, end.due) {
            (Some(_), _) => &self.delivered,
            (None, Some(_)) => &self.failed,
            (None, None) => &self.given_up,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn counts(&self) -> CallbackCounts {
        let [delivered, failed, given_up] =
            [&self.delivered, &self.failed, &self.given_up].map(|count| count.load(Relaxed));
        CallbackCounts {
            delivered,
            failed,
            given_up,
        }
    }
}
