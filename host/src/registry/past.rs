//! What is remembered of generations that are gone, so that their calls stay counted: a bounded number of them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::generation::Generation;
use super::metrics::{Counters, Outcomes};
use super::observed::ObservedGeneration;

/// How many builds are remembered; the one that has been gone longest is forgotten first.
const MOST: usize = 8;

/// The builds that are gone.
#[derive(Default)]
pub(super) struct Past(VecDeque<Gone>);

struct Gone {
    /// Without what is in `latest`.
    seen: ObservedGeneration,
    /// Of its latest time: the end of a call may be counted a moment after its generation is empty.
    latest: Arc<Counters>,
}

impl Past {
    /// Remembers a generation of which nothing is left.
    pub(super) fn remember(&mut self, gone: &Generation) {
        let mut seen = ObservedGeneration::past(gone);
        seen.outcomes = Outcomes::default();
        if let Some(at) = self.0.iter().position(|known| known.seen.is_same(&seen))
            && let Some(before) = self.0.remove(at)
        {
            seen.outcomes = before.outcomes();
        }
        let latest = Arc::clone(gone.counters());
        self.0.push_back(Gone { seen, latest });
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// What is counted of them.
    pub(super) fn observe(&self) -> Vec<ObservedGeneration> {
        let gone = self.0.iter().map(|gone| ObservedGeneration {
            outcomes: gone.outcomes(),
            ..gone.seen.clone()
        });
        gone.collect()
    }
}

impl Gone {
    fn outcomes(&self) -> Outcomes {
        let mut outcomes = self.seen.outcomes.clone();
        outcomes.add(&self.latest.outcomes());
        outcomes
    }
}
