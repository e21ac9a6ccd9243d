//! A clock that was set once, when the store was opened: whoever sets the system's clock moves no lease.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use crate::jobs::record::Time;

/// What time it is for a store.
pub(super) struct Clock {
    opened: Instant,
    then: Time,
}

impl Clock {
    pub(super) fn set() -> Self {
        Self {
            opened: Instant::now(),
            then: Utc::now(),
        }
    }

    /// In whole milliseconds, as all that is stored.
    pub(super) fn time(&self) -> Time {
        let passed = TimeDelta::from_std(self.opened.elapsed()).unwrap_or(TimeDelta::MAX);
        let time = self.then + passed;
        DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
    }
}
