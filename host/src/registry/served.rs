//! Which generation takes a plugin's next call: the stable one or, for a share of them, a canary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::generation::Generation;
use super::queue::Queue;
use super::turnstile::Turned;
use crate::call::Permit;

/// The generations that take calls, replaced whole by every change.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) stable: Arc<Generation>,
    pub(super) canary: Option<Canary>,
}

/// A generation that has to show what it is worth.
#[derive(Debug)]
pub(super) struct Canary {
    pub(super) generation: Arc<Generation>,
    /// Of a hundred calls, how many it gets.
    pub(super) percent: u8,
    draws: AtomicU32,
}

impl Canary {
    pub(super) fn new(generation: Arc<Generation>, percent: u8) -> Self {
        Self {
            generation,
            percent,
            draws: AtomicU32::new(0),
        }
    }

    /// Spreads its share evenly: of ten calls at 20 percent the first and the sixth.
    fn draw(&self) -> bool {
        let percent = u32::from(self.percent);
        self.draws.fetch_add(1, Relaxed) % 100 * percent % 100 < percent
    }

    fn is_fit(&self) -> bool {
        self.generation.exhausted().is_none()
    }
}

/// What a call has drawn, once and for all its waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lot {
    Stable,
    Canary,
}

/// How long a call has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) deadline: Instant,
    pub(super) limit: Duration,
}

/// A call's turn: where it runs, and the right to.
pub struct Turn {
    /// The build that it runs in, to its end.
    pub generation: Arc<Generation>,
    /// The right to run there.
    pub permit: Permit,
    /// Whether the call has waited for it: then what was known before may hold no more.
    pub has_waited: bool,
}

/// What a plugin was like when a call came in.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The address of the generation that was looked at.
    pub(super) seen: usize,
    /// Whether its calls run on the task that calls.
    pub is_inline: bool,
}

impl Look {
    /// Whether it was this generation that was looked at.
    pub fn was_of(&self, generation: &Arc<Generation>) -> bool {
        self.seen == Arc::as_ptr(generation).addr()
    }
}

impl Turn {
    pub(super) fn after_a_wait(mut self) -> Self {
        self.has_waited = true;
        self
    }
}

impl Served {
    /// Whether calls come to it.
    pub(super) fn serves(&self, generation: &Arc<Generation>) -> bool {
        let canary = self.canary.as_ref().map(|canary| &canary.generation);
        [Some(&self.stable), canary]
            .into_iter()
            .flatten()
            .any(|it| Arc::ptr_eq(it, generation))
    }

    /// Lets its generations take calls; those that find them full wait in `queue`.
    pub(super) fn begin(&self, queue: &Arc<Queue>) {
        self.stable.begin(queue);
        if let Some(canary) = &self.canary {
            canary.generation.begin(queue);
        }
    }

    pub(super) fn draw(&self) -> Lot {
        match &self.canary {
            Some(canary) if canary.draw() => Lot::Canary,
            Some(_) | None => Lot::Stable,
        }
    }

    /// Lets a call in where its lot says. Where the canary is full, the stable generation will do: one that hangs
    /// holds nobody up.
    pub(super) fn enter(&self, lot: Lot, now: Instant, due: Due) -> Result<Turn, Turned> {
        let canary = self
            .canary
            .as_ref()
            .filter(|canary| lot == Lot::Canary && canary.is_fit());
        let Some(canary) = canary else {
            return enter(&self.stable, now, due);
        };
        match enter(&canary.generation, now, due) {
            Err(Turned::Full) => enter(&self.stable, now, due),
            // It is being taken out, and what replaces this has it no more.
            other => other,
        }
    }
}

fn enter(generation: &Arc<Generation>, now: Instant, due: Due) -> Result<Turn, Turned> {
    let permit = generation.enter(now, due.deadline, due.limit)?;
    let generation = Arc::clone(generation);
    Ok(Turn {
        generation,
        permit,
        has_waited: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::generation;

    #[test]
    fn a_canary_gets_its_share_evenly() {
        let check = |percent, expected: &[u32]| {
            let canary = Canary::new(generation(1), percent);
            let drawn: Vec<u32> = (0..200).filter(|_| canary.draw()).collect();
            assert_eq!(drawn.len(), 2 * usize::from(percent), "{percent}");
            assert_eq!(&drawn[..expected.len()], expected, "{percent}");
        };
        check(0, &[]);
        check(1, &[0, 100]);
        check(10, &[0, 10, 20]);
        check(50, &[0, 2, 4]);
        check(90, &[0, 2, 3, 4]);
    }
}
