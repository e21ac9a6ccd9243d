//! A canary's part of a rollout: lets it in, looks at its numbers, and ends it one way or the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::task::Rollout;
use super::trial::{Score, Verdict, judge};
use super::wish::Wish;
use crate::events::Kind;
use crate::registry::{Generation, Totals};
use crate::services::opening::event_of;

/// How often a canary's numbers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A canary at work.
pub(super) struct Trial {
    pub(super) canary: Arc<Generation>,
    pub(super) wish: Wish,
    began: Instant,
    stable_before: Totals,
    pub(super) look_at: Instant,
}

impl Rollout {
    pub(super) fn try_out(&mut self, canary: Arc<Generation>, wish: Wish, percent: u64) {
        let Some(stable) = self.plugin.stable() else {
            return;
        };
        let share = u8::try_from(percent).unwrap_or(u8::MAX);
        let event = event_of(Kind::CanaryStarted, &wish.staged);
        self.common.tell(event.detail("percent", percent));
        let closed = self.plugin.try_out(&canary, share);
        self.drain(closed);
        let now = Instant::now();
        self.trial = Some(Trial {
            canary,
            wish,
            began: now,
            stable_before: stable.totals(),
            look_at: now + LOOK_EVERY,
        });
    }

    pub(super) fn judge(&mut self) {
        let (Some(trial), Some(stable)) = (&mut self.trial, self.plugin.stable()) else {
            return;
        };
        trial.look_at = Instant::now() + LOOK_EVERY;
        let canary = Score::between(Totals::default(), trial.canary.totals());
        let beside = Score::between(trial.stable_before, stable.totals());
        let window = trial.wish.config.canary_window.duration();
        match judge(canary, beside, trial.began.elapsed(), window) {
            Verdict::Wait => {}
            Verdict::Promote => self.promote(),
            Verdict::End { why } => self.refuse_canary(&why),
        }
    }

    pub(super) fn promote(&mut self) {
        let Some(trial) = self.trial.take() else {
            return;
        };
        let totals = trial.canary.totals();
        let event = event_of(Kind::CanaryPromoted, &trial.wish.staged)
            .detail("calls", totals.calls())
            .detail("faults", totals.faults);
        self.common.tell(event);
        self.serve(&trial.canary, trial.wish);
    }

    /// A canary is worse than what it was to replace.
    pub(super) fn refuse_canary(&mut self, why: &str) {
        let Some(trial) = &self.trial else {
            return;
        };
        let (bad, canary) = (trial.wish.staged.digest, Arc::clone(&trial.canary));
        self.history.refuse(bad, why);
        self.plugin.reject(&canary, format!("rolled_back: {why}"));
        let event = event_of(Kind::RolledBack, &self.stable.staged).reason(why);
        self.common.tell(event.detail("from", bad.short()));
        self.end_trial(why);
        self.note_kept();
    }

    pub(super) fn end_trial(&mut self, why: &str) {
        let Some(trial) = self.trial.take() else {
            return;
        };
        let event = event_of(Kind::CanaryEnded, &trial.wish.staged).reason(why);
        self.common.tell(event);
        let closed = self.plugin.end_canary();
        self.drain(closed);
    }
}
