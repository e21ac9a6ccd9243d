//! One plugin: its generations, who waits for them, how it has done over all of them.
//!
//! A swap stores the new generation first and closes the old one then: whoever finds a generation closed looks again,
//! and finds another. One task at a time changes a plugin; calls read what it has stored, and wait for no lock.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::by_code::ByCode;
use super::generation::{Declaration, Generation, OpenPlugin};
use super::metrics::{Metrics, Totals};
use super::observed::{Observed, ObservedGeneration};
use super::past::Past;
use super::queue::Queue;
use super::served::{Canary, Due, Look, Lot, Served, Turn};
use super::status::{GenerationStatus, LatencyMs, Lifecycle, PluginStatus};
use super::turnstile::Turned;
use crate::config::PluginConfig;
use crate::envelope::Envelope;
use crate::error::{CallError, Code};
use crate::names::PluginName;

/// How long somebody waits for a plugin to open who only wants to know what it takes.
const OPENED_WITHIN: Duration = Duration::from_secs(5);

/// A plugin of the host's.
pub struct Plugin {
    name: PluginName,
    queue: Arc<Queue>,
    metrics: Metrics,
    /// Nothing once it was removed.
    served: ArcSwapOption<Served>,
    disabled: AtomicBool,
    leaving: AtomicBool,
    forced_kills: Arc<AtomicU64>,
    /// Calls that came to nothing before they were in a generation.
    refused: ByCode<AtomicU64>,
    takeovers: AtomicU64,
    aside: Mutex<Aside>,
    changed: Notify,
}

/// What takes no calls, for whoever looks.
#[derive(Default)]
struct Aside {
    candidate: Option<Arc<Generation>>,
    rejected: Option<GenerationStatus>,
    draining: Vec<Arc<Generation>>,
    past: Past,
    file_invalid: Option<String>,
    /// The name of its file, where that has changed since it was read.
    file: Option<String>,
}

/// What callers of a plugin hear that an operator has taken out of service.
const DISABLED: &str = "disabled: an operator took it out of service; it serves again when enabled";

impl Plugin {
    /// A plugin whose first build nobody has opened yet.
    pub fn new(declaration: Declaration, config: PluginConfig, open: OpenPlugin) -> Self {
        Self::serving(Generation::new(declaration, config, open))
    }

    /// A plugin that `first` serves.
    pub fn serving(first: Arc<Generation>) -> Self {
        let queue = Arc::default();
        first.begin(&queue);
        Self {
            name: first.declaration().name.clone(),
            queue,
            metrics: Metrics::default(),
            served: ArcSwapOption::from_pointee(Served {
                stable: first,
                canary: None,
            }),
            disabled: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            forced_kills: Arc::default(),
            refused: ByCode::default(),
            takeovers: AtomicU64::new(0),
            aside: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The same, whose workers that had to be ended are counted elsewhere.
    #[must_use]
    pub fn counting(mut self, forced_kills: Arc<AtomicU64>) -> Self {
        self.forced_kills = forced_kills;
        self
    }

    /// Its name.
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// The generation that serves it, the stable one beside a canary; nothing once it was removed.
    pub fn stable(&self) -> Option<Arc<Generation>> {
        let served = self.served.load();
        served.as_ref().map(|served| Arc::clone(&served.stable))
    }

    /// The generation that has a share of its calls only, if there is one.
    pub fn canary(&self) -> Option<Arc<Generation>> {
        let served = self.served.load();
        let canary = served.as_ref()?.canary.as_ref()?;
        Some(Arc::clone(&canary.generation))
    }

    /// Every generation that takes calls or has some left.
    pub fn alive(&self) -> Vec<Arc<Generation>> {
        let draining = self.aside().draining.clone();
        let serving = self.stable().into_iter().chain(self.canary());
        serving.chain(draining).collect()
    }

    /// Opens what serves it, if nobody has yet.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason.
    pub async fn open(&self) -> Result<(), CallError> {
        let stable = self.stable().ok_or_else(|| self.gone())?;
        stable.serving().await.map(drop).map_err(CallError::from)
    }

    /// All that can be told before a call has its turn, in one look: whether it may be called right now, and takes
    /// pictures of this type, as its stable generation says.
    ///
    /// # Errors
    /// `unsupported_mime_type` with the types that it takes, `plugin_unavailable` with the reason.
    pub fn look(&self, mime_type: &str) -> Result<Look, CallError> {
        let served = self.load()?;
        served.stable.accepts(mime_type)?;
        self.check(&served)?;
        let serving = served.stable.serving_now();
        Ok(Look {
            seen: Arc::as_ptr(&served.stable).addr(),
            is_inline: serving.is_some_and(|serving| serving.lane.is_inline()),
        })
    }

    /// Whether it takes pictures of this type and these options, as far as its stable generation can tell. It is opened
    /// for that, but whoever asks does not wait long: what cannot be told soon is told to the call.
    ///
    /// # Errors
    /// `unsupported_mime_type`, `malformed_request`, `invalid_options`.
    pub async fn suits(
        &self,
        mime_type: &str,
        options: Option<&RawValue>,
    ) -> Result<(), CallError> {
        let Some(stable) = self.stable() else {
            return Ok(());
        };
        stable.accepts(mime_type)?;
        if let Some(serving) = stable.serving_now() {
            return serving.options.check(options);
        }
        if self.is_disabled() {
            return Ok(());
        }
        match tokio::time::timeout(OPENED_WITHIN, stable.serving()).await {
            Ok(Ok(serving)) => serving.options.check(options),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Whether it may be called right now.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason.
    pub fn can_serve(&self) -> Result<(), CallError> {
        self.check(&*self.load()?)
    }

    fn check(&self, served: &Served) -> Result<(), CallError> {
        if self.is_disabled() {
            return Err(CallError::unavailable(DISABLED.to_owned()));
        }
        let exhausted = served.stable.exhausted();
        exhausted.map_or(Ok(()), |exhausted| Err(exhausted.into()))
    }

    /// Takes it out of service: calls are refused, those that run go on.
    pub fn disable(&self) {
        self.disabled.store(true, Relaxed);
    }

    /// Takes it back into service, and lifts what its lane holds it back for.
    pub fn enable(&self) {
        self.disabled.store(false, Relaxed);
        let stable = self.stable();
        if let Some(serving) = stable.as_ref().and_then(|stable| stable.serving_now()) {
            serving.lane.lift();
        }
    }

    /// A turn for a call that comes in `now`. It waits no longer than the plugin's deadline, or the
    /// caller's where that is shorter.
    ///
    /// # Errors
    /// `overloaded` where too many wait already, `timeout` where the turn does not come.
    pub async fn admit(&self, now: Instant, asked: Option<Duration>) -> Result<Turn, CallError> {
        let (lot, due, queue) = {
            let served = self.load()?;
            let config = served.stable.config();
            let own = config.deadline.duration();
            let limit = asked.map_or(own, |asked| asked.min(own));
            let deadline = now + limit;
            let (lot, due) = (served.draw(), Due { deadline, limit });
            // Whoever waits already comes first.
            if self.queue.waiting() == 0
                && let Ok(turn) = served.enter(lot, now, due)
            {
                return Ok(turn);
            }
            (lot, due, config.queue)
        };
        let _place = self.queue.join(queue, || self.in_flight())?;
        let turn = tokio::time::timeout_at(due.deadline.into(), self.wait(lot, due)).await;
        match turn {
            Ok(turn) => turn.map(|turn| turn.after_a_wait()),
            Err(_) => Err(CallError::timed_out(due.limit)),
        }
    }

    /// Until a place is free, and taken. Those that wait are woken in the order of coming, but one that
    /// comes just then may be quicker.
    async fn wait(&self, lot: Lot, due: Due) -> Result<Turn, CallError> {
        loop {
            // Listening begins before the look, so that no place that is freed in between is missed.
            let freed = self.queue.freed();
            if let Some(turn) = self.enter(lot, Instant::now(), due)? {
                return Ok(turn);
            }
            freed.await;
        }
    }

    fn enter(&self, lot: Lot, now: Instant, due: Due) -> Result<Option<Turn>, CallError> {
        loop {
            match self.load()?.enter(lot, now, due) {
                Ok(turn) => return Ok(Some(turn)),
                Err(Turned::Full) => return Ok(None),
                // Another stands in its place already.
                Err(Turned::Closed) => {}
            }
        }
    }

    /// Counts a call that took from `began` to `ended`.
    pub fn record(
        &self,
        generation: &Generation,
        began: Instant,
        ended: Instant,
        error: Option<&Envelope>,
    ) {
        let took = self.metrics.record(began, ended, error);
        generation.count(took, error);
    }

    /// Counts a call that came to nothing before it was in a generation.
    pub fn refuse(&self, code: Code) {
        self.refused.of(code).fetch_add(1, Relaxed);
    }

    /// Lets `new` take all calls from now on. Gives what takes none any more; calls in it go on.
    pub fn replace(&self, new: &Arc<Generation>) -> Vec<Arc<Generation>> {
        let canary = None;
        let stable = Arc::clone(new);
        let is_other = |before: Arc<Generation>| !Arc::ptr_eq(&before, new);
        if self.stable().is_some_and(is_other) {
            self.takeovers.fetch_add(1, Relaxed);
        }
        self.store(Some(Served { stable, canary }))
    }

    /// Lets `new` take `percent` of all calls beside what serves. Gives what takes none any more.
    pub fn try_out(&self, new: &Arc<Generation>, percent: u8) -> Vec<Arc<Generation>> {
        let canary = Some(Canary::new(Arc::clone(new), percent));
        self.stable()
            .map(|stable| self.store(Some(Served { stable, canary })))
            .unwrap_or_default()
    }

    /// Takes all calls away from a canary. Gives it, if there was one.
    pub fn end_canary(&self) -> Vec<Arc<Generation>> {
        self.stable()
            .map(|stable| self.replace(&stable))
            .unwrap_or_default()
    }

    /// It is not called any more: those that wait are still served.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// Whether it was removed.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// Serves those that wait, then nobody any more. Gives what had calls until then.
    pub async fn close(&self) -> Vec<Arc<Generation>> {
        self.queue.until_empty().await;
        self.store(None)
    }

    /// Nothing is left of a generation.
    pub fn retire(&self, gone: &Arc<Generation>) {
        let mut aside = self.aside();
        aside.draining.retain(|it| !Arc::ptr_eq(it, gone));
        aside.past.remember(gone);
        drop(aside);
        self.changed.notify_waiters();
    }

    /// Until fewer than `most` generations drain.
    pub async fn until_few_drain(&self, most: usize) {
        loop {
            let changed = self.changed.notified();
            if self.aside().draining.len() < most {
                return;
            }
            changed.await;
        }
    }

    /// Notes what is about to serve it, if it proves fit.
    pub fn set_candidate(&self, candidate: Option<Arc<Generation>>) {
        let mut aside = self.aside();
        if candidate.is_some() {
            aside.rejected = None;
        }
        aside.candidate = candidate;
        drop(aside);
        self.changed.notify_waiters();
    }

    /// Notes a build that is not served, and why; what serves goes on.
    pub fn reject(&self, build: &Generation, reason: String) {
        let status = build.status(Some(Lifecycle::Rejected));
        let mut aside = self.aside();
        aside.candidate = None;
        aside.rejected = Some(GenerationStatus {
            reason: Some(reason),
            ..status
        });
        drop(aside);
        self.changed.notify_waiters();
    }

    /// Forgets the build that was not to be served.
    pub fn forget_rejected(&self) {
        self.aside().rejected = None;
    }

    /// Notes what its file is called now.
    pub fn set_file(&self, file: &str) {
        self.aside().file = Some(file.to_owned());
    }

    /// Until it is known what becomes of the build that may serve it, if there is one.
    pub async fn until_decided(&self) {
        loop {
            let changed = self.changed.notified();
            if self.aside().candidate.is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Why its file, as it is now, is not served, if so.
    pub fn file_invalid(&self) -> Option<String> {
        self.aside().file_invalid.clone()
    }

    /// Notes why its file, as it is now, is not served, if so.
    pub fn set_file_invalid(&self, reason: Option<String>) {
        self.aside().file_invalid = reason;
    }

    /// Stores first and closes then; gives what was closed.
    fn store(&self, new: Option<Served>) -> Vec<Arc<Generation>> {
        let mut aside = self.aside();
        let stays = |it: &Arc<Generation>| new.as_ref().is_some_and(|new| new.serves(it));
        let before = self.stable().into_iter().chain(self.canary());
        let closed: Vec<_> = before.filter(|it| !stays(it)).collect();
        if let Some(new) = &new {
            new.begin(&self.queue);
        }
        self.served.store(new.map(Arc::new));
        closed.iter().for_each(|old| old.close());
        aside.draining.extend(closed.iter().cloned());
        drop(aside);
        self.queue.wake_all();
        closed
    }

    fn load(&self) -> Result<Loaded, CallError> {
        let served = self.served.load();
        match *served {
            Some(_) => Ok(Loaded(served)),
            None => Err(self.gone()),
        }
    }

    /// What callers hear of whom nothing is left.
    pub fn gone(&self) -> CallError {
        CallError::UnknownPlugin {
            name: self.name.to_string(),
            available: Vec::new(),
        }
    }

    fn is_disabled(&self) -> bool {
        self.disabled.load(Relaxed)
    }

    /// Calls that run now, in all its generations.
    pub fn in_flight(&self) -> usize {
        self.alive().iter().map(|it| it.in_flight()).sum()
    }

    fn aside(&self) -> MutexGuard<'_, Aside> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How its calls have ended so far, over all generations.
    pub fn totals(&self) -> Totals {
        self.metrics.totals()
    }

    /// The recent window's latencies, where there were calls in it.
    pub fn latency_ms(&self) -> Option<LatencyMs> {
        self.metrics.latency().map(LatencyMs::from)
    }

    /// Where it stands.
    pub fn lifecycle(&self) -> Lifecycle {
        match self.stable() {
            _ if self.is_leaving() => Lifecycle::Draining,
            None => Lifecycle::Draining,
            Some(_) if self.is_disabled() => Lifecycle::Disabled,
            Some(stable) => stable.lifecycle(),
        }
    }

    /// Why it cannot be called, if so.
    pub fn reason(&self) -> Option<String> {
        if self.is_disabled() {
            return Some(DISABLED.to_owned());
        }
        self.stable()?.exhausted().map(|exhausted| exhausted.reason)
    }

    /// All that there is to know of it; nothing once nothing is left.
    pub fn status(&self) -> Option<PluginStatus> {
        let last = || self.aside().draining.last().cloned();
        let stable = self.stable().or_else(last)?;
        let (file, file_invalid) = {
            let aside = self.aside();
            (aside.file.clone(), aside.file_invalid.clone())
        };
        let (declaration, serving) = (stable.declaration(), stable.serving_now());
        Some(PluginStatus {
            name: self.name.clone(),
            version: declaration.version.to_string(),
            description: declaration.description.clone(),
            file: file.unwrap_or_else(|| declaration.file.clone()),
            generation: declaration.digest.short(),
            lane: stable.config().lane.as_str(),
            lifecycle: self.lifecycle(),
            reason: self.reason(),
            file_invalid,
            accepts: declaration.accepts.patterns().to_vec(),
            thread_safe: declaration.thread_safe,
            required: stable.config().required,
            options_schema: serving.map(|serving| serving.options_schema.clone()),
            output_schema: serving.map(|serving| serving.output_schema.clone()),
            calls: self.metrics.snapshot().into(),
            in_flight: self.in_flight(),
            queued: self.queue.waiting(),
            forced_kills: self.forced_kills.load(Relaxed),
            workers: serving.and_then(|serving| serving.lane.workers()),
            generations: self.generations(),
        })
    }

    /// What is counted of it. A generation that ends loses none of its calls, whenever this comes.
    pub(super) fn observe(&self) -> Observed {
        let (mut generations, alive) = {
            let aside = self.aside();
            let serving = self.stable().into_iter().chain(self.canary());
            let alive: Vec<_> = serving.chain(aside.draining.iter().cloned()).collect();
            (aside.past.observe(), alive)
        };
        for generation in alive {
            ObservedGeneration::of(&generation).join(&mut generations);
        }
        let refused = self.refused.all();
        Observed {
            name: self.name.clone(),
            lifecycle: self.lifecycle(),
            queued: self.queue.waiting(),
            takeovers: self.takeovers.load(Relaxed),
            forced_kills: self.forced_kills.load(Relaxed),
            refused: refused
                .map(|(code, count)| (code, count.load(Relaxed)))
                .collect(),
            stable: self.stable(),
            generations,
        }
    }

    /// Those that serve, then those that may, then those that did.
    fn generations(&self) -> Vec<GenerationStatus> {
        let served = self.served.load_full();
        let stable = served.as_ref().map(|served| served.stable.status(None));
        let canary = served.as_ref().and_then(|served| served.canary.as_ref());
        let canary = canary.map(|canary| GenerationStatus {
            canary: Some(canary.percent),
            ..canary.generation.status(None)
        });
        let aside = self.aside();
        let candidate = aside.candidate.as_ref();
        let candidate = candidate.map(|it| it.status(Some(Lifecycle::Loading)));
        let draining = aside.draining.iter();
        let draining = draining.map(|it| it.status(Some(Lifecycle::Draining)));
        let named = [stable, canary, candidate, aside.rejected.clone()];
        named.into_iter().flatten().chain(draining).collect()
    }
}

/// What serves, as long as it is looked at.
struct Loaded(Guard<Option<Arc<Served>>>);

impl std::ops::Deref for Loaded {
    type Target = Served;

    fn deref(&self) -> &Served {
        self.0.as_ref().expect("it was looked at before")
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
