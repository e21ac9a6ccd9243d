//! What the registry counts of a plugin, for whoever watches the host.

use std::sync::Arc;

use super::generation::Generation;
use super::metrics::Outcomes;
use super::status::Lifecycle;
use crate::call::Crew;
use crate::error::Code;
use crate::names::PluginName;

/// What is counted of a plugin.
#[derive(Debug)]
pub struct Observed {
    /// Its name.
    pub name: PluginName,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// How many calls wait.
    pub queued: usize,
    /// How often another generation has taken over.
    pub takeovers: u64,
    /// Workers that had to be ended which were to end by themselves.
    pub forced_kills: u64,
    /// Calls that came to nothing before they were in a generation.
    pub refused: Vec<(Code, u64)>,
    /// What serves it; nothing once it was removed.
    pub stable: Option<Arc<Generation>>,
    /// Those that serve or drain, and some of those that did.
    pub generations: Vec<ObservedGeneration>,
}

/// What is counted of one build of a plugin.
#[derive(Clone, Debug)]
pub struct ObservedGeneration {
    /// The first 12 hex digits of its hash.
    pub generation: String,
    /// Where its code runs.
    pub lane: &'static str,
    /// How many of its calls run; nothing once nothing is left of it.
    pub in_flight: Option<usize>,
    /// How its calls have ended.
    pub outcomes: Outcomes,
    /// Its workers, where it has some.
    pub crew: Option<Crew>,
}

impl ObservedGeneration {
    /// Of one that serves or drains.
    pub(super) fn of(generation: &Generation) -> Self {
        let serving = generation.serving_now();
        Self {
            in_flight: Some(generation.in_flight()),
            crew: serving.and_then(|serving| serving.lane.crew()),
            ..Self::past(generation)
        }
    }

    /// Of one that is gone.
    pub(super) fn past(generation: &Generation) -> Self {
        Self {
            generation: generation.declaration().digest.short(),
            lane: generation.config().lane.as_str(),
            in_flight: None,
            outcomes: generation.counters().outcomes(),
            crew: None,
        }
    }

    /// Whether the two are one to whoever watches.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.generation, self.lane) == (&other.generation, other.lane)
    }

    /// Adds itself to `all`: a build that came back goes on where it was.
    pub(super) fn join(self, all: &mut Vec<Self>) {
        let Some(known) = all.iter_mut().find(|known| known.is_same(&self)) else {
            return all.push(self);
        };
        known.outcomes.add(&self.outcomes);
        if let Some(more) = self.in_flight {
            known.in_flight = Some(known.in_flight.unwrap_or_default() + more);
        }
        if let Some(more) = self.crew {
            let crew = known.crew.get_or_insert_default();
            crew.busy += more.busy;
            crew.idle += more.idle;
            crew.starting += more.starting;
            crew.started += more.started;
            crew.killed += more.killed;
            crew.memory += more.memory;
        }
    }
}
