//! One loaded build of a plugin: what it declares, what serves its calls once it was opened, who is in it, and how they
//! have ended.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use semver::Version;
use serde_json::Value;
use tokio::sync::Notify;

use super::metrics::{Counters, Totals};
use super::queue::Queue;
use super::status::{GenerationStatus, Lifecycle};
use super::turnstile::{Turned, Turnstile};
use crate::call::{Exhausted, Lane, Permit, Slots};
use crate::config::PluginConfig;
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::names::{Accepts, Digest, PluginName};
use crate::validation::{OptionsSchema, OutputRules};

/// What a file says of the plugin in it, before any of it has run.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The plugin's name.
    pub name: PluginName,
    /// The version of its crate.
    pub version: Version,
    /// One line on what it does.
    pub description: String,
    /// The MIME types that it takes.
    pub accepts: Accepts,
    /// Whether one instance may run several calls at a time.
    pub thread_safe: bool,
    /// The file's name in the folder.
    pub file: String,
    /// The hash of the file.
    pub digest: Digest,
}

/// What serves a generation's calls.
pub struct Serving {
    /// Where its code runs.
    pub lane: Arc<dyn Lane>,
    /// What its options are held to.
    pub options: OptionsSchema,
    /// What its answers are held to.
    pub output: OutputRules,
    /// The schema of its options, as it declares it.
    pub options_schema: Value,
    /// The schema of its output, as it declares it.
    pub output_schema: Value,
}

/// Opens a generation when it is first needed. The error is the reason why it cannot be served; one that
/// says when to try again says nothing of the plugin, and it is tried again with the next call.
pub type OpenPlugin = Box<dyn Fn() -> BoxFuture<'static, Result<Serving, Exhausted>> + Send + Sync>;

type Opened = Arc<Result<Serving, Exhausted>>;

/// One loaded build of a plugin.
pub struct Generation {
    declaration: Declaration,
    config: PluginConfig,
    turnstile: Turnstile,
    // Where those wait that find it full.
    queue: OnceLock<Arc<Queue>>,
    emptied: Notify,
    // Shared with what its plugin remembers of it.
    counters: Arc<Counters>,
    since: OnceLock<(Instant, DateTime<Utc>)>,
    opener: Opener,
}

/// What has come of opening it.
struct Opener {
    open: OpenPlugin,
    // For good.
    opened: OnceLock<Opened>,
    // Shared, so that an opening which a caller has left goes on for the next.
    opening: Mutex<Option<Shared<BoxFuture<'static, Opened>>>>,
    settled: Notify,
}

impl Generation {
    /// A build that nobody has opened yet, to be treated as `config` says.
    pub fn new(declaration: Declaration, config: PluginConfig, open: OpenPlugin) -> Arc<Self> {
        let (opened, opening) = (OnceLock::new(), Mutex::default());
        Arc::new(Self {
            declaration,
            config,
            turnstile: Turnstile::new(),
            queue: OnceLock::new(),
            emptied: Notify::new(),
            counters: Arc::default(),
            since: OnceLock::new(),
            opener: Opener {
                open,
                opened,
                opening,
                settled: Notify::new(),
            },
        })
    }

    /// What its file says of it.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The operator's settings for it.
    pub fn config(&self) -> &PluginConfig {
        &self.config
    }

    /// What serves it, if it was opened and can be served.
    pub fn serving_now(&self) -> Option<&Serving> {
        self.opener.opened()?.as_ref().ok()
    }

    /// What serves it. The first to ask opens it; who stops waiting does not stop that.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason.
    pub async fn serving(&self) -> Result<&Serving, Exhausted> {
        self.opener.serving().await
    }

    /// Until it is known for good what has come of opening it; opens nothing.
    pub async fn until_opened(&self) {
        loop {
            let settled = self.opener.settled.notified();
            if self.opener.opened().is_some() {
                return;
            }
            settled.await;
        }
    }

    /// Why no call can be carried out in it now, if so.
    pub fn exhausted(&self) -> Option<Exhausted> {
        match self.opener.opened()? {
            Ok(serving) => serving.lane.exhausted(),
            Err(refused) => Some(refused.clone()),
        }
    }

    /// Whether it takes pictures of this type.
    ///
    /// # Errors
    /// `unsupported_mime_type` with the types that it takes.
    pub fn accepts(&self, mime_type: &str) -> Result<(), CallError> {
        let accepts = &self.declaration.accepts;
        if accepts.admits(mime_type) {
            return Ok(());
        }
        let (found, accepts) = (mime_type.to_owned(), accepts.patterns().to_vec());
        Err(CallError::UnsupportedMimeType { found, accepts })
    }

    /// From when on it has had calls; nothing before that.
    pub fn since(&self) -> Option<Instant> {
        self.since.get().map(|(since, _)| *since)
    }

    /// Until nobody is in it any more, and nobody can come; only for one that was closed.
    pub async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.turnstile.is_empty_for_good() {
                return;
            }
            emptied.await;
        }
    }

    /// How its calls have ended.
    pub fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// How many of its calls run.
    pub fn in_flight(&self) -> usize {
        self.turnstile.inside()
    }

    /// Takes calls from now on, and those that find it full wait in `queue`.
    pub(super) fn begin(&self, queue: &Arc<Queue>) {
        self.queue.get_or_init(|| Arc::clone(queue));
        self.since.get_or_init(|| (Instant::now(), Utc::now()));
    }

    /// Lets no call in any more.
    pub(super) fn close(&self) {
        if self.turnstile.close() {
            self.emptied.notify_waiters();
        }
    }

    /// A place for a call that came in at `now` and has `limit`.
    pub(super) fn enter(
        self: &Arc<Self>,
        granted: Instant,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Permit, Turned> {
        self.turnstile.enter(self.config.concurrency)?;
        let slots = Arc::clone(self) as Arc<dyn Slots>;
        Ok(Permit::new(slots, granted, deadline, limit))
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn count(&self, nanoseconds: u64, error: Option<&Envelope>) {
        self.counters.count(nanoseconds, error);
    }

    /// Where it stands by itself.
    pub(super) fn lifecycle(&self) -> Lifecycle {
        match self.opener.opened() {
            None => Lifecycle::Loading,
            Some(Err(_)) => Lifecycle::Rejected,
            Some(Ok(serving)) if serving.lane.exhausted().is_some() => Lifecycle::Quarantined,
            Some(Ok(_)) => Lifecycle::Ready,
        }
    }

    /// What there is to know of it; `lifecycle` where its plugin knows better.
    pub(super) fn status(&self, lifecycle: Option<Lifecycle>) -> GenerationStatus {
        let totals = self.totals();
        GenerationStatus {
            generation: self.declaration.digest.short(),
            version: self.declaration.version.to_string(),
            file: self.declaration.file.clone(),
            lifecycle: lifecycle.unwrap_or_else(|| self.lifecycle()),
            since: self.since.get().map(|(_, since)| *since),
            canary: None,
            in_flight: self.in_flight(),
            success_count: totals.successes,
            error_count: totals.errors,
            crashes: totals.crashes,
            reason: self.exhausted().map(|exhausted| exhausted.reason),
        }
    }
}

impl Slots for Generation {
    fn give_back(&self) {
        if self.turnstile.leave() {
            self.emptied.notify_waiters();
        }
        if let Some(queue) = self.queue.get() {
            queue.wake();
        }
    }
}

impl Opener {
    async fn serving(&self) -> Result<&Serving, Exhausted> {
        if self.opened.get().is_none() {
            let opened = self.opening().await;
            self.settle(&opened)?;
        }
        let opened = self.opened().expect("it was settled");
        opened.as_ref().map_err(Clone::clone)
    }

    fn opening(&self) -> Shared<BoxFuture<'static, Opened>> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || (self.open)().map(Arc::new).boxed().shared();
        opening.get_or_insert_with(open).clone()
    }

    /// Keeps what has come of an opening, unless it says nothing of the plugin.
    fn settle(&self, opened: &Opened) -> Result<(), Exhausted> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        match &**opened {
            Err(refused) if refused.retry_after.is_some() => {
                let current = opening.as_ref().and_then(Shared::peek);
                if current.is_some_and(|it| Arc::ptr_eq(it, opened)) {
                    *opening = None;
                }
                Err(refused.clone())
            }
            Ok(_) | Err(_) => {
                let _ = self.opened.set(Arc::clone(opened));
                self.settled.notify_waiters();
                Ok(())
            }
        }
    }

    fn opened(&self) -> Option<&Result<Serving, Exhausted>> {
        self.opened.get().map(|opened| &**opened)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("declaration", &self.declaration)
            .finish_non_exhaustive()
    }
}
