//! Turnstiles that are wrong, each in one thing.

use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::Gate;
use crate::turnstile::Turned;

const CLOSED: usize = 1 << (usize::BITS - 1);

/// The last one out says that it is empty for good, be it open or closed.
pub(crate) struct CountsOnly(AtomicUsize);

impl Gate for CountsOnly {
    fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn enter(&self, _: usize) -> Result<(), Turned> {
        enter(&self.0)
    }

    fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) & !CLOSED == 1
    }

    fn close(&self) -> bool {
        close(&self.0)
    }
}

/// It may be closed between the look and the step.
pub(crate) struct LooksThenEnters(AtomicUsize);

impl Gate for LooksThenEnters {
    fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn enter(&self, _: usize) -> Result<(), Turned> {
        if self.0.load(Ordering::Acquire) & CLOSED != 0 {
            return Err(Turned::Closed);
        }
        self.0.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1
    }

    fn close(&self) -> bool {
        close(&self.0)
    }
}

/// Whoever comes out tells nobody what it has done inside.
pub(crate) struct LeavesRelaxed(AtomicUsize);

impl Gate for LeavesRelaxed {
    fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn enter(&self, _: usize) -> Result<(), Turned> {
        enter(&self.0)
    }

    fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == CLOSED | 1
    }

    fn close(&self) -> bool {
        close(&self.0)
    }
}

fn enter(state: &AtomicUsize) -> Result<(), Turned> {
    let step = |state| (state & CLOSED == 0).then_some(state + 1);
    match state.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
        Ok(_) => Ok(()),
        Err(_) => Err(Turned::Closed),
    }
}

fn close(state: &AtomicUsize) -> bool {
    state.fetch_or(CLOSED, Ordering::AcqRel) == 0
}
