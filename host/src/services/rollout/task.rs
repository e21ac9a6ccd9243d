//! The task that looks after one plugin: brings in what it is to be, judges canaries, takes back what crashes again and
//! again. The only one that changes which generation serves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::candidate::{Candidate, Purpose};
use super::history::History;
use super::trial::{Score, Verdict, judge};
use super::wish::Wish;
use super::{Common, Reply};
use crate::call::Exhausted;
use crate::error::CallError;
use crate::events::{Event, Kind};
use crate::loader::Staged;
use crate::names::Digest;
use crate::registry::{Generation, Plugin, Totals};
use crate::services::opening::{Ears, event_of};

/// For how long a build is new: one that crashes again and again in that time gives way to the one before.
const NEW_FOR: Duration = Duration::from_secs(600);
/// How often a canary's numbers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
    fn into_reply(self) -> Option<Reply> {
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
    pub(super) trial: Option<Trial>,
    /// What cannot serve, and will not be tried again.
    pub(super) unfit: Option<(Wish, Exhausted)>,
    pub(super) retry_at: Option<Instant>,
    pub(super) asked: Vec<Reply>,
}

/// A canary at work.
pub(super) struct Trial {
    canary: Arc<Generation>,
    wish: Wish,
    began: Instant,
    stable_before: Totals,
    look_at: Instant,
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
    fn consider(&mut self) {
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

    fn begin(&mut self, wish: Wish, purpose: Purpose, delay: Duration) {
        let generation = self.generation(&wish);
        self.plugin.set_candidate(Some(Arc::clone(&generation)));
        let candidate = Candidate::new(&self.plugin, generation, wish, purpose, delay);
        self.candidate = Some(candidate);
    }

    fn drop_candidate(&mut self) {
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
    fn serve(&mut self, new: &Arc<Generation>, wish: Wish) {
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

    /// Sees the calls of generations to their end, in tasks.
    fn drain(&self, closed: Vec<Arc<Generation>>) {
        for generation in closed {
            let (common, plugin) = (Arc::clone(&self.common), Arc::clone(&self.plugin));
            let tasks = &self.common.host.tasks;
            tasks.spawn(async move { drain(&common, &plugin, generation).await });
        }
    }

    fn try_out(&mut self, canary: Arc<Generation>, wish: Wish, percent: u64) {
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

    fn judge(&mut self) {
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

    fn promote(&mut self) {
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
    fn refuse_canary(&mut self, why: &str) {
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

    fn end_trial(&mut self, why: &str) {
        let Some(trial) = self.trial.take() else {
            return;
        };
        let event = event_of(Kind::CanaryEnded, &trial.wish.staged).reason(why);
        self.common.tell(event);
        let closed = self.plugin.end_canary();
        self.drain(closed);
    }

    /// Something has become known of what serves: what is new and ill gives way.
    fn look_at_stable(&mut self) {
        if let Some(trial) = &self.trial
            && trial.canary.exhausted().is_some()
        {
            return self.refuse_canary(&self.crash_loop());
        }
        let Some(stable) = self.plugin.stable() else {
            return;
        };
        let bad = self.stable.staged.digest;
        let opened = stable.serving_now().is_some();
        match stable.exhausted() {
            None if opened && !self.history.knows(bad) => {
                self.history.serve(&self.stable.staged);
                self.note_kept();
            }
            // Where there is none to go back to, it stays as it is.
            Some(_) if opened && self.is_new(&stable) => {
                let _ = self.begin_rollback(bad, self.crash_loop(), true);
            }
            Some(refused) if !opened => {
                let why = refused.reason.clone();
                self.unfit = Some((self.stable.clone(), refused));
                let _ = self.begin_rollback(bad, why, false);
            }
            None | Some(_) => {}
        }
    }

    fn crash_loop(&self) -> String {
        let last = self.ears.last_crash.load_full().unwrap_or_default();
        format!("it crashed again and again, at last: {last}")
    }

    fn is_new(&self, stable: &Generation) -> bool {
        let age = stable.since().map(|since| since.elapsed());
        age.is_some_and(|age| age < NEW_FOR) && !self.history.has_proven(self.stable.staged.digest)
    }

    fn proven_at(&self) -> Option<Instant> {
        let since = self.plugin.stable()?.since()?;
        let is_known = self.history.has_proven(self.stable.staged.digest);
        (!is_known).then_some(since + NEW_FOR)
    }

    fn prove(&mut self) {
        self.history.prove(self.stable.staged.digest);
        self.note_kept();
    }

    fn roll_back_for(&mut self, reply: Reply) {
        self.asked.push(reply);
        let why = "an operator asked for it";
        if self.trial.is_some() {
            self.refuse_canary(why);
            return self.answer(Ok(()));
        }
        let bad = self.stable.staged.digest;
        if let Err(error) = self.begin_rollback(bad, why.to_owned(), true) {
            self.answer(Err(error));
        }
    }

    /// Sets the last good build on its way, in place of whatever else is.
    fn begin_rollback(
        &mut self,
        bad: Digest,
        why: String,
        for_good: bool,
    ) -> Result<(), CallError> {
        let under_way = |it: &Candidate| matches!(it.purpose, Purpose::Rollback { .. });
        if self.candidate.as_ref().is_some_and(under_way) {
            return Ok(());
        }
        let Some(staged) = self.last_good(bad) else {
            return Err(CallError::unavailable(format!(
                "no_earlier_generation: no earlier good build of `{}` is kept; put one into the plugins folder",
                self.plugin.name()
            )));
        };
        self.drop_candidate();
        let config = self.wishes.borrow().config.clone();
        let wish = Wish { staged, config };
        let purpose = Purpose::Rollback { bad, why, for_good };
        self.begin(wish, purpose, Duration::ZERO);
        Ok(())
    }

    /// The latest build that was good and whose copy is there.
    fn last_good(&mut self, but: Digest) -> Option<Arc<Staged>> {
        let good = self.history.good();
        let good = good.filter_map(|build| Some((build.digest()?, build.file.clone())));
        let good: Vec<_> = good.filter(|(digest, _)| *digest != but).collect();
        for (digest, file) in good {
            match self.common.host.area.restage(digest, &file) {
                Ok(staged) => return Some(Arc::new(staged)),
                Err(refused) => {
                    warn!(plugin = self.plugin.name().as_str(), reason = %refused, "an earlier build is not to be had");
                    self.history.take(digest);
                }
            }
        }
        None
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

    fn answer(&mut self, outcome: Result<(), CallError>) {
        for reply in self.asked.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(outcome.clone());
        }
    }

    /// Says which builds are to be kept on disk, and writes down what is known.
    fn note_kept(&self) {
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

    /// The plugin's file is gone: those who wait are served, and then nobody.
    fn depart(self) {
        let Self {
            common,
            plugin,
            history,
            candidate,
            mut orders,
            asked,
            ..
        } = self;
        drop(candidate);
        plugin.leave();
        orders.close();
        let late = std::iter::from_fn(|| orders.try_recv().ok()?.into_reply());
        for reply in asked.into_iter().chain(late) {
            let _ = reply.send(Err(plugin.gone()));
        }
        let tasks = common.host.tasks.clone();
        tokio::task::spawn_blocking(history.forget());
        tasks.spawn(async move {
            for generation in plugin.close().await {
                drain(&common, &plugin, generation).await;
            }
            common.host.registry.forget(&plugin);
        });
    }
}

/// Sees a generation to its end.
async fn drain(common: &Common, plugin: &Plugin, generation: Arc<Generation>) {
    let declaration = generation.declaration();
    let event = |kind| {
        Event::of(kind)
            .plugin(plugin.name())
            .version(&declaration.version)
            .generation(declaration.digest)
    };
    common.tell(event(Kind::Draining).detail("in_flight", generation.in_flight()));
    if let Some(serving) = generation.serving_now() {
        serving.lane.wind_down();
    }
    tokio::select! {
        () = generation.until_empty() => {}
        // The host's own end takes care of what is left.
        () = common.host.stop.cancelled() => return,
    }
    plugin.retire(&generation);
    let totals = generation.totals();
    let event = event(Kind::Retired)
        .detail("calls", totals.calls())
        .detail("errors", totals.errors);
    common.tell(event);
}

/// What comes of a candidate; never, where there is none.
async fn ready(candidate: Option<&mut Candidate>) -> Result<(), Exhausted> {
    match candidate {
        Some(candidate) => candidate.is_ready().await,
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
