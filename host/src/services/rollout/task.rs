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
    /// What cannot serve, and will not be tried again.
    pub(super) unfit: Option<(Wish, Exhausted)>,
    pub(super) retry_at: Option<Instant>,
    pub(super) asked: Vec<Reply>,
}

impl Rollout {
    /// Until the plugin is removed, or the host stops.
    pub(super) async fn run(mut self) {
        let stop = self.common.host.stop.clone();
        self.note_kept();
        self.consider();
        // What serves first was opened by nobody yet.
        let mut first = self.plugin.stable();
        loop {
            let proven_at = self.proven_at();
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
                    self.look_at_stable();
                }
                outcome = ready(self.candidate.as_mut()) => self.conclude(outcome),
                found = searched(self.search.as_mut()) => self.found(found),
                () = until(self.trial.as_ref().map(|trial| trial.look_at)) => self.judge(),
                () = until(self.retry_at) => self.wish_again(),
                () = until(proven_at) => self.prove(),
            }
        }
    }

    fn wish_again(&mut self) {
        self.retry_at = None;
        self.wishes.mark_unchanged();
        let keep = self.common.running().plugins.keep;
        self.history.trim(keep);
        self.consider();
    }

    /// Does what has to be done for what serves to be what is wished.
    pub(super) fn consider(&mut self) {
        if self.search.is_some() {
            return;
        }
        let wish = self.wishes.borrow().clone();
        if let Some(candidate) = &self.candidate {
            let is_rollback = matches!(candidate.purpose, Purpose::Rollback { .. });
            if is_rollback || candidate.wish == wish {
                return;
            }
            // Latest wins: what was on its way is not wanted any more.
            self.drop_candidate();
        }
        if wish == self.stable {
            self.plugin.forget_rejected();
            self.end_trial("the folder holds the build before it again");
            return self.answer(Ok(()));
        }
        if self.trial.as_ref().is_some_and(|trial| trial.wish == wish) {
            return self.answer(Ok(()));
        }
        self.end_trial("the folder holds another build");
        let refusal = self.history.refusal(wish.staged.digest);
        if let Some(why) = refusal {
            let reason = format!(
                "rolled_back: it was taken out: {why}; put another build there, or try it again \
                 with POST /v1/plugins/{}/reload",
                self.plugin.name()
            );
            let build = self.generation(&wish);
            self.plugin.reject(&build, reason.clone());
            return self.answer(Err(CallError::unavailable(reason)));
        }
        if let Some((unfit, refused)) = &self.unfit
            && *unfit == wish
        {
            let refused = refused.clone();
            return self.answer(Err(refused.into()));
        }
        if self.retry_at.is_some() {
            return;
        }
        self.begin(wish, Purpose::Wish, Duration::ZERO);
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
            Purpose::Rollback { bad, why, for_good } => {
                if for_good {
                    self.history.refuse(bad, &why);
                }
                let event = event_of(Kind::RolledBack, &wish.staged).reason(why);
                self.common.tell(event.detail("from", bad.short()));
                self.serve(&generation, wish);
                self.answer(Ok(()));
            }
            Purpose::Wish => {
                let percent = wish.config.canary;
                let is_another = wish.staged.digest != self.stable.staged.digest;
                if percent > 0 && is_another && self.is_well() {
                    self.try_out(generation, wish, percent);
                } else {
                    self.serve(&generation, wish);
                }
                self.answer(Ok(()));
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
                Purpose::Wish => self.retry_at = Some(Instant::now() + delay),
            }
            return self.answer(Err(refused.into()));
        }
        self.plugin.reject(&generation, refused.reason.clone());
        match purpose {
            Purpose::Wish => {
                self.unfit = Some((wish, refused.clone()));
                self.answer(Err(refused.into()));
            }
            Purpose::Rollback { bad, why, for_good } => {
                self.history.take(wish.staged.digest);
                if let Err(error) = self.begin_rollback(bad, why, for_good) {
                    self.answer(Err(error));
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
        if is_another && !self.is_well() {
            self.history.take(old.staged.digest);
        }
        self.history.serve(&wish.staged);
        self.history.trim(self.common.running().plugins.keep);
        let mut event =
            event_of(Kind::Serving, &wish.staged).detail("replaces", old.staged.digest.short());
        if is_another && old.staged.manifest.version == wish.staged.manifest.version {
            event = event.detail("digest_changed", true);
        }
        if !is_another {
            event = event.detail("settings_changed", true);
        }
        self.stable = wish;
        self.trial = None;
        let closed = self.plugin.replace(new);
        self.common.tell(event);
        self.drain(closed);
        self.note_kept();
    }

    fn reload(&mut self, reply: Reply) {
        let wish = self.wishes.borrow().clone();
        self.wishes.mark_unchanged();
        self.asked.push(reply);
        self.history.pardon(wish.staged.digest);
        self.unfit = None;
        self.retry_at = None;
        if self.trial.as_ref().is_some_and(|trial| trial.wish == wish) {
            self.promote();
        }
        self.consider();
    }

    pub(super) fn answer(&mut self, outcome: Result<(), CallError>) {
        for reply in self.asked.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(outcome.clone());
        }
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
