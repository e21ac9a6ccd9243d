//! How much is measured: enough to go by, or only enough to see that it works.

use std::time::Duration;

/// Numbers and times of all parts.
pub(crate) struct Effort {
    /// How often each way has its turn.
    pub(crate) rounds: usize,
    /// How long one turn is.
    pub(crate) turn: Duration,
    /// How many jobs wait while it is looked at them.
    pub(crate) waiting: u32,
    /// How many jobs are due when a host starts.
    pub(crate) due: u32,
    /// How often each look is taken.
    pub(crate) looks: usize,
}

impl Effort {
    /// That of a short run, or of a real one.
    pub(crate) fn of(short: bool) -> Self {
        if short {
            Self {
                rounds: 1,
                turn: Duration::from_millis(300),
                waiting: 2_000,
                due: 500,
                looks: 5,
            }
        } else {
            Self {
                rounds: 3,
                turn: Duration::from_millis(1_000),
                waiting: 100_000,
                due: 20_000,
                looks: 200,
            }
        }
    }
}
