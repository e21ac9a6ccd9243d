//! Who is inside a generation, and whether anybody may still go in. Knows neither of what is behind it.

use super::sync::atomic::{AtomicUsize, Ordering};

/// Set once nobody may go in any more.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Counts who goes in and out.
pub(super) struct Turnstile {
    /// Top bit: closed. The rest: how many are inside.
    state: AtomicUsize,
}

/// Why somebody was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// As many as may be are inside.
    Full,
    /// Nobody goes in any more.
    Closed,
}

impl Turnstile {
    /// An open one, with nobody inside.
    pub(super) fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
        }
    }

    /// Goes in, unless it is closed or `most` are inside.
    ///
    /// # Errors
    /// [`Turned`].
    pub(super) fn enter(&self, most: usize) -> Result<(), Turned> {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if state & CLOSED != 0 {
                return Err(Turned::Closed);
            }
            if state >= most {
                return Err(Turned::Full);
            }
            let entered = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match entered {
                Ok(_) => return Ok(()),
                Err(now) => state = now,
            }
        }
    }

    /// Goes out. True for the last one out of a closed turnstile: it is empty for good.
    pub(super) fn leave(&self) -> bool {
        self.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1
    }

    /// Lets nobody in any more. True if it was open and nobody is inside: it is empty for good.
    pub(super) fn close(&self) -> bool {
        self.state.fetch_or(CLOSED, Ordering::AcqRel) == 0
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.state.load(Ordering::Relaxed) & !CLOSED
    }
}
