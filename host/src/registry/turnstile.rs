//! Who is inside a generation: counts those that go in and out, and once it is closed says when the last has left.
//!
//! Two things must never happen: that somebody is inside after it was said that nobody will be any more, and that it is
//! not said, or twice. `tests/tests/swap_model.rs` tries every order of steps.

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The bit that stands for closed; those below it count.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Counts those inside.
#[derive(Debug)]
pub(super) struct Turnstile {
    state: AtomicUsize,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// As many as may be are inside.
    Full,
    /// Nobody is let in any more.
    Closed,
}

impl Turnstile {
    /// Open, with nobody inside.
    pub(super) fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
        }
    }

    /// Goes in, unless it is closed or `most` are inside.
    pub(super) fn enter(&self, most: usize) -> Result<(), Turned> {
        let one_more = |state: usize| (state < most.min(CLOSED - 1)).then_some(state + 1);
        let entered = self.state.fetch_update(SeqCst, SeqCst, one_more);
        entered.map(drop).map_err(|state| match state & CLOSED {
            0 => Turned::Full,
            _ => Turned::Closed,
        })
    }

    /// Goes out. True for the last one out of a closed turnstile: it is empty for good.
    pub(super) fn leave(&self) -> bool {
        self.state.fetch_sub(1, SeqCst) == CLOSED + 1
    }

    /// Lets nobody in any more. True if it was open and nobody is inside: it is empty for good.
    pub(super) fn close(&self) -> bool {
        self.state.fetch_or(CLOSED, SeqCst) == 0
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.state.load(SeqCst) & !CLOSED
    }

    /// Whether it is closed and nobody is inside.
    pub(super) fn is_empty_for_good(&self) -> bool {
        self.state.load(SeqCst) == CLOSED
    }
}
