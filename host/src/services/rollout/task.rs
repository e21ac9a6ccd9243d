//! The task that looks after one plugin: brings in what it is to be, judges canaries, takes back what crashes again and
//! again. The only one that changes which generation serves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::back::{Found, Search};
use super::canary::Trial;
use super::candidate::{Candidate, Purpose};
use super::history::History;
use super::wish::Wish;
use super::{Common, Reply};
use crate::call::Exhausted;
use crate::error::CallError;
use crate::events::Kind;
use crate::names::Digest;
use crate::registry::{Generation, Plugin};
use crate::services::opening::{Ears, event_of};

/// What a rollout is told to do.
pub(super) enum Order {
    /// What the folder holds is to serve, whatever was refused before.
    Reload(Reply),
    /// The last good build is to serve.
    Rollback(Reply),
    /// The plugin is gone.
    Remove,
}

impl Order {
    pub(super) fn into_reply(self) -> Option<Reply> {
        match self {
            Self::Reload(reply) | Self::Rollback(reply) => Some(reply),
            Self::Remove => None,
        }
    }
}

/// Looks after one plugin.
pub(super) struct Rollout {
    pub(super) common: Arc<Common>,
    pub(super) plugin: Arc<Plugin>,
    pub(super) ears: Ears,
    pub(super) wishes: watch::Receiver<Wish>,
    pub(super) orders: mpsc::Receiver<Order>,
    /// The builds that are to be kept on disk.
    pub(super) kept: watch::Sender<Vec<Digest>>,
    pub(super) history: History,
    /// What serves.
    pub(super) stable: Wish,
    pub(super) candidate: Option<Candidate>,
    pub(super) search: Option<Search>,
    pub(super) trial: Option<Trial>,
    /// What cannot serve, until something else is wished.
    pub(super) unfit: Vec<(Wish, Exhausted)>,
    pub(super) retry_at: Option<Instant>,
    /// From when on it may be said that the build has proven itself.
    pub(super) prove_at: Option<Instant>,
    /// Who waits for what the folder holds to serve.
    pub(super) reloads: Vec<Reply>,
    /// Who waits for the last good build.
    pub(super) rollbacks: Vec<Reply>,
}

impl Rollout {
    /// Until the plugin is removed, or the host stops.
    pub(super) async fn run(mut self) {
        let stop = self.common.host.stop.clone();
        self.note_kept();
        self.wait_for_proof();
        self.consider();
        // What serves first was opened by nobody yet.
        let mut first = self.plugin.stable();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(Order::Reload(reply)) => self.reload(reply),
                    Some(Order::Rollback(reply)) => self.roll_back_for(reply),
                    // Nobody has orders for a plugin that is gone.
                    Some(Order::Remove) | None => return self.depart(),
                },
                changed = self.wishes.changed() => match changed {
                    Ok(()) => self.wish_again(),
                    Err(_) => return self.depart(),
                },
                () = self.ears.alarm.notified() => self.look_at_stable(),
                () = opened(first.as_deref()) => {
                    first = None;
                    self.tell_first();
                    self.look_at_stable();
                }
                outcome = ready(self.candidate.as_mut()) => self.conclude(outcome),
                found = searched(self.search.as_mut()) => self.found(found),
                () = until(self.trial.as_ref().map(|trial| trial.look_at)) => self.judge(),
                () = until(self.retry_at) => self.wish_again(),
                () = until(self.prove_at) => self.prove(),
            }
        }
    }

    fn wish_again(&mut self) {
        self.retry_at = None;
        self.unfit.clear();
        self.wishes.mark_unchanged();
        let keep = self.common.running().plugins.keep;
        self.history.trim(keep);
        self.consider();
    }

    /// Does what has to be done for what serves to be what is wished.
    pub(super) fn consider(&mut self) {
        if self.is_going_back() {
            return;
        }
        let wish = self.wishes.borrow().clone();
        let refusal = self.refusal(&wish);
        if let Some(reason) = &refusal {
            let build = self.generation(&wish);
            self.plugin.reject(&build, reason.clone());
        }
        // Where the folder's build is not to serve, the settings are for the one that does.
        let goal = match refusal {
            Some(_) => self.stable_with(&wish),
            None => wish,
        };
        if let Some(candidate) = &self.candidate {
            if candidate.wish == goal {
                return;
            }
            // Latest wins: what was on its way is not wanted any more.
            self.drop_candidate();
        }
        if goal == self.stable || self.unfitness(&goal).is_some() {
            self.end_trial("the folder holds another build than that");
            let unfit = || self.unfitness(&goal).map(|refused| refused.reason.clone());
            let outcome = match refusal.or_else(unfit) {
                Some(reason) => Err(CallError::unavailable(reason)),
                None => {
                    self.plugin.forget_rejected();
                    Ok(())
                }
            };
            return self.answer_reloads(outcome);
        }
        if self.is_tried(&goal) {
            return self.answer_reloads(Ok(()));
        }
        if self.retry_at.is_none() {
            let goal = self.first_of(goal);
            self.begin(goal, Purpose::Wish, Duration::ZERO);
        }
    }

    /// Whether it is a canary already. Another canary is ended.
    fn is_tried(&mut self, goal: &Wish) -> bool {
        let Some(trial) = &self.trial else {
            return false;
        };
        if trial.wish == *goal {
            return true;
        }
        let why = match trial.wish.staged.digest == goal.staged.digest {
            true => "its settings have changed",
            false => "the folder holds another build",
        };
        self.end_trial(why);
        false
    }

    /// What comes first on the way to a goal: a canary is compared with a build of the same settings.
    fn first_of(&self, goal: Wish) -> Wish {
        let beside = self.stable_with(&goal);
        let is_canary = goal.config.canary > 0 && goal.staged.digest != self.stable.staged.digest;
        let is_ready = beside == self.stable || self.unfitness(&beside).is_some();
        if is_canary && !is_ready && self.is_well() {
            beside
        } else {
            goal
        }
    }

    /// The build that serves, with the settings of a wish.
    fn stable_with(&self, wish: &Wish) -> Wish {
        Wish {
            staged: Arc::clone(&self.stable.staged),
            config: wish.config.clone(),
        }
    }

    /// Why a wish is not to come true, if so.
    fn refusal(&self, wish: &Wish) -> Option<String> {
        let digest = wish.staged.digest;
        if digest == self.stable.staged.digest {
            return None;
        }
        let taken_out = self.history.refusal(digest).map(|why| {
            format!(
                "rolled_back: it was taken out: {why}; put another build there, or try it again \
                 with POST /v1/plugins/{}/reload",
                self.plugin.name()
            )
        });
        taken_out.or_else(|| self.unfitness(wish).map(|refused| refused.reason.clone()))
    }

    fn unfitness(&self, wish: &Wish) -> Option<&Exhausted> {
        let mut unfit = self.unfit.iter();
        let found = unfit.find(|(unfit, _)| unfit == wish);
        found.map(|(_, refused)| refused)
    }

    fn generation(&self, wish: &Wish) -> Arc<Generation> {
        let lanes = &self.common.lanes;
        lanes.generation(&wish.staged, &wish.config, &self.ears)
    }

    pub(super) fn begin(&mut self, wish: Wish, purpose: Purpose, delay: Duration) {
        let generation = self.generation(&wish);
        self.plugin.set_candidate(Some(Arc::clone(&generation)));
        let candidate = Candidate::new(&self.plugin, generation, wish, purpose, delay);
        self.candidate = Some(candidate);
    }

    pub(super) fn drop_candidate(&mut self) {
        self.candidate = None;
        self.plugin.set_candidate(None);
    }

    /// A candidate can serve, or cannot.
    fn conclude(&mut self, outcome: Result<(), Exhausted>) {
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        self.plugin.set_candidate(None);
        match outcome {
            Ok(()) => self.let_in(candidate),
            Err(refused) => self.turn_away(candidate, refused),
        }
        // What is wished may be another by now.
        if self.candidate.is_none() {
            self.consider();
        }
    }

    fn let_in(&mut self, candidate: Candidate) {
        let Candidate {
            generation,
            wish,
            purpose,
            ..
        } = candidate;
        match purpose {
            // What was bad has given way already.
            Purpose::Rollback { bad, .. } if bad != self.stable.staged.digest => {
                self.answer_rollbacks(Ok(()));
            }
            Purpose::Rollback { bad, why, for_good } => {
                if for_good {
                    self.history.refuse(bad, &why);
                }
                // It has served before: when it crashes too, its callers are to blame.
                self.history.prove(wish.staged.digest);
                let event = event_of(Kind::RolledBack, &wish.staged).reason(why);
                self.common.tell(event.detail("from", bad.short()));
                self.serve(&generation, wish);
                self.answer_rollbacks(Ok(()));
            }
            Purpose::Wish => {
                let percent = wish.config.canary;
                let is_another = wish.staged.digest != self.stable.staged.digest;
                if percent > 0 && is_another && self.is_well() {
                    self.try_out(generation, wish, percent);
                } else {
                    self.serve(&generation, wish);
                }
            }
        }
    }

    fn turn_away(&mut self, candidate: Candidate, refused: Exhausted) {
        let Candidate {
            generation,
            wish,
            purpose,
            ..
        } = candidate;
        if let Some(delay) = refused.retry_after {
            // It says nothing of the build: the system has no room just now.
            let reason = &refused.reason;
            warn!(
                plugin = self.plugin.name().as_str(),
                reason, "a build cannot be tried now"
            );
            match purpose {
                Purpose::Rollback { .. } => self.begin(wish, purpose, delay),
                Purpose::Wish => {
                    self.plugin.reject(&generation, refused.reason.clone());
                    self.retry_at = Some(Instant::now() + delay);
                    self.answer_reloads(Err(refused.into()));
                }
            }
            return;
        }
        self.plugin.reject(&generation, refused.reason.clone());
        match purpose {
            // Who asked for it hears that when it is considered what else there is.
            Purpose::Wish => self.unfit.push((wish, refused)),
            Purpose::Rollback { bad, why, for_good } => {
                self.history.take(wish.staged.digest);
                if let Err(error) = self.begin_rollback(bad, why, for_good) {
                    self.answer_rollbacks(Err(error));
                }
            }
        }
    }

    /// Whether nothing is known against what serves.
    fn is_well(&self) -> bool {
        let stable = self.plugin.stable();
        stable.is_some_and(|stable| stable.exhausted().is_none())
    }

    /// Lets a generation take all calls.
    pub(super) fn serve(&mut self, new: &Arc<Generation>, wish: Wish) {
        let old = self.stable.clone();
        let is_another = old.staged.digest != wish.staged.digest;
        let had_proven = self.history.has_proven(old.staged.digest);
        if is_another && !had_proven && !self.is_well() {
            self.history.take(old.staged.digest);
        }
        self.history.serve(&wish.staged);
        self.history.trim(self.common.running().plugins.keep);
        let mut event =
            event_of(Kind::Serving, &wish.staged).detail("replaces", old.staged.digest.short());
        if is_another && old.staged.manifest.version == wish.staged.manifest.version {
            event = event.detail("digest_changed", true);
        }
        if old.config != wish.config {
            event = event.detail("settings_changed", true);
        }
        self.stable = wish;
        let closed = self.plugin.replace(new);
        self.common.tell(event);
        self.drain(closed);
        self.wait_for_proof();
        self.note_kept();
    }

    /// What serves first could be opened, or not: why not was told when that was found.
    fn tell_first(&self) {
        let stable = self.plugin.stable();
        if stable.is_some_and(|stable| stable.serving_now().is_some()) {
            self.common
                .tell(event_of(Kind::Serving, &self.stable.staged));
        }
    }

    fn reload(&mut self, reply: Reply) {
        let wish = self.wishes.borrow().clone();
        self.wishes.mark_unchanged();
        self.reloads.push(reply);
        self.history.pardon(wish.staged.digest);
        self.pardon_what_is_on_its_way_out();
        self.unfit.clear();
        self.retry_at = None;
        if self.trial.as_ref().is_some_and(|trial| trial.wish == wish) {
            self.promote();
        }
        let stable = self.plugin.stable();
        let is_open = stable.is_some_and(|stable| stable.serving_now().is_some());
        if wish == self.stable && !is_open && !self.is_going_back() {
            // What kept it from being opened may have been the machine.
            self.drop_candidate();
            return self.begin(wish, Purpose::Wish, Duration::ZERO);
        }
        self.consider();
    }

    fn answer_reloads(&mut self, outcome: Result<(), CallError>) {
        answer(&mut self.reloads, &outcome);
    }

    pub(super) fn answer_rollbacks(&mut self, outcome: Result<(), CallError>) {
        answer(&mut self.rollbacks, &outcome);
    }

    /// Says which builds are to be kept on disk, and writes down what is known.
    pub(super) fn note_kept(&mut self) {
        let good = self.history.good().filter_map(|build| build.digest());
        let serving = [self.stable.staged.digest];
        self.kept.send_replace(good.chain(serving).collect());
        let (keep, name) = (self.history.keep(), self.plugin.name().clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = keep() {
                warn!(plugin = name.as_str(), %error, "cannot write down which builds were good");
            }
        });
    }
}

/// Who asked may have gone.
fn answer(replies: &mut Vec<Reply>, outcome: &Result<(), CallError>) {
    for reply in replies.drain(..) {
        let _ = reply.send(outcome.clone());
    }
}

/// What comes of a candidate; never, where there is none.
async fn ready(candidate: Option<&mut Candidate>) -> Result<(), Exhausted> {
    match candidate {
        Some(candidate) => candidate.is_ready().await,
        None => std::future::pending().await,
    }
}

/// What a search has found; never, where there is none.
async fn searched(search: Option<&mut Search>) -> Found {
    match search {
        Some(search) => (&mut search.work).await,
        None => std::future::pending().await,
    }
}

/// Until it is known what has come of opening a generation; never, where there is none.
async fn opened(generation: Option<&Generation>) {
    match generation {
        Some(generation) => generation.until_opened().await,
        None => std::future::pending().await,
    }
}

/// Until then; never, where there is no time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
