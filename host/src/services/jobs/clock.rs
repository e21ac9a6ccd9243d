//! The time that jobs go by: that of the store, carried on without the system's clock, so that a clock that is set
//! neither ages a job nor makes it younger.

use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{SubsecRound, TimeDelta};

use crate::jobs::Time;

/// A clock that runs on from the moment that it was set to.
pub(super) struct Clock(ArcSwap<(Time, Instant)>);

impl Clock {
    /// A clock that shows `now`.
    pub(super) fn at(now: Time) -> Self {
        Self(ArcSwap::from_pointee((now, Instant::now())))
    }

    /// Sets it to what the store's clock shows: hosts that share a store go by the same.
    pub(super) fn set(&self, now: Time) {
        self.0.store((now, Instant::now()).into());
    }

    /// What time it is, in whole milliseconds.
    pub(super) fn now(&self) -> Time {
        let anchor = self.0.load();
        (anchor.0 + delta(anchor.1.elapsed())).trunc_subsecs(3)
    }
}

/// A duration as the library of times has it.
pub(super) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
