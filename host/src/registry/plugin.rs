//! One plugin: what it declares, what serves it once it was opened, how it has done.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use semver::Version;
use serde_json::Value;

use super::admission::Admission;
use super::metrics::Metrics;
use super::status::{Lifecycle, PluginStatus};
use crate::call::{Exhausted, Lane, Permit};
use crate::config::PluginConfig;
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

/// What serves a plugin's calls.
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

impl Serving {
    /// Whether calls can be carried out right now.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason.
    pub fn can_serve(&self) -> Result<(), CallError> {
        self.lane
            .exhausted()
            .map_or(Ok(()), |exhausted| Err(exhausted.into()))
    }
}

/// Opens a plugin when it is first needed. The error is the reason why it cannot be served; one that
/// says when to try again says nothing of the plugin, and it is tried again with the next call.
pub type OpenPlugin = Box<dyn Fn() -> BoxFuture<'static, Result<Serving, Exhausted>> + Send + Sync>;

type Opened = Arc<Result<Serving, Exhausted>>;

/// A plugin of the host's.
pub struct Plugin {
    declaration: Declaration,
    config: PluginConfig,
    admission: Arc<Admission>,
    metrics: Metrics,
    open: OpenPlugin,
    // What has come of it, for good.
    opened: OnceLock<Opened>,
    // Shared, so that an opening which a caller has left goes on for the next.
    opening: Mutex<Option<Shared<BoxFuture<'static, Opened>>>>,
    disabled: AtomicBool,
}

/// What callers of a plugin hear that an operator has taken out of service.
const DISABLED: &str = "disabled: an operator took it out of service; it serves again when enabled";

impl Plugin {
    /// A plugin that nobody has called yet.
    pub fn new(declaration: Declaration, config: PluginConfig, open: OpenPlugin) -> Self {
        let admission = Arc::new(Admission::new(config.concurrency, config.queue));
        let metrics = Metrics::default();
        let (opened, opening) = (OnceLock::new(), Mutex::default());
        Self {
            declaration,
            config,
            admission,
            metrics,
            open,
            opened,
            opening,
            disabled: AtomicBool::new(false),
        }
    }

    /// Its name.
    pub fn name(&self) -> &PluginName {
        &self.declaration.name
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
        self.opened()?.as_ref().ok()
    }

    /// What serves it. The first to ask opens it; who stops waiting does not stop that.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason.
    pub async fn serving(&self) -> Result<&Serving, CallError> {
        if self.opened.get().is_none() {
            let opened = self.opening().await;
            self.settle(&opened)?;
        }
        let opened = self.opened().expect("it was settled");
        opened.as_ref().map_err(|refused| refused.clone().into())
    }

    fn opening(&self) -> Shared<BoxFuture<'static, Opened>> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || (self.open)().map(Arc::new).boxed().shared();
        opening.get_or_insert_with(open).clone()
    }

    /// Keeps what has come of an opening, unless it says nothing of the plugin.
    fn settle(&self, opened: &Opened) -> Result<(), CallError> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        match &**opened {
            Err(refused) if refused.retry_after.is_some() => {
                if opening
                    .as_ref()
                    .and_then(Shared::peek)
                    .is_some_and(|it| Arc::ptr_eq(it, opened))
                {
                    *opening = None;
                }
                Err(refused.clone().into())
            }
            Ok(_) | Err(_) => {
                let _ = self.opened.set(Arc::clone(opened));
                Ok(())
            }
        }
    }

    fn opened(&self) -> Option<&Result<Serving, Exhausted>> {
        self.opened.get().map(|opened| &**opened)
    }

    /// Whether it may be called right now.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason.
    pub fn can_serve(&self) -> Result<(), CallError> {
        if self.is_disabled() {
            return Err(CallError::unavailable(DISABLED.to_owned()));
        }
        self.serving_now().map_or(Ok(()), Serving::can_serve)
    }

    /// Takes it out of service: calls are refused, those that run go on.
    pub fn disable(&self) {
        self.disabled.store(true, Ordering::Relaxed);
    }

    /// Takes it back into service, and lifts what its lane holds it back for.
    pub fn enable(&self) {
        self.disabled.store(false, Ordering::Relaxed);
        if let Some(serving) = self.serving_now() {
            serving.lane.lift();
        }
    }

    fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// The right to run one call; waits its turn no longer than the plugin's deadline, or the
    /// caller's where that is shorter.
    ///
    /// # Errors
    /// `overloaded` where too many wait already, `timeout` where the turn does not come.
    pub async fn admit(
        &self,
        now: Instant,
        deadline: Option<Duration>,
    ) -> Result<Permit, CallError> {
        let own = self.config.deadline.duration();
        let limit = deadline.map_or(own, |asked| asked.min(own));
        self.admission.admit(now, limit).await
    }

    /// How it has done.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where it stands.
    pub fn lifecycle(&self) -> Lifecycle {
        match self.opened() {
            _ if self.is_disabled() => Lifecycle::Disabled,
            None => Lifecycle::Loading,
            Some(Err(_)) => Lifecycle::Rejected,
            Some(Ok(serving)) if serving.lane.exhausted().is_some() => Lifecycle::Quarantined,
            Some(Ok(_)) => Lifecycle::Ready,
        }
    }

    /// All that there is to know of it.
    pub fn status(&self) -> PluginStatus {
        let declaration = &self.declaration;
        let serving = self.serving_now();
        PluginStatus {
            name: declaration.name.clone(),
            version: declaration.version.to_string(),
            description: declaration.description.clone(),
            file: declaration.file.clone(),
            generation: declaration.digest.short(),
            lane: self.config.lane.as_str(),
            lifecycle: self.lifecycle(),
            reason: self.reason(),
            accepts: declaration.accepts.patterns().to_vec(),
            thread_safe: declaration.thread_safe,
            required: self.config.required,
            options_schema: serving.map(|serving| serving.options_schema.clone()),
            output_schema: serving.map(|serving| serving.output_schema.clone()),
            calls: self.metrics.snapshot().into(),
            in_flight: self.admission.in_flight(),
            queued: self.admission.queued(),
            workers: serving.and_then(|serving| serving.lane.workers()),
        }
    }

    /// Why it cannot be called, if so.
    pub fn reason(&self) -> Option<String> {
        if self.is_disabled() {
            return Some(DISABLED.to_owned());
        }
        match self.opened()? {
            Ok(serving) => serving.lane.exhausted().map(|exhausted| exhausted.reason),
            Err(refused) => Some(refused.reason.clone()),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("declaration", &self.declaration)
            .finish_non_exhaustive()
    }
}
