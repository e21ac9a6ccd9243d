//! Lists and selects plugins, has them reloaded and rolled back, and delegates every execution to the
//! runner. Never runs a plugin itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::{StreamExt, stream};

use crate::call::{Call, Place};
use crate::config::Config;
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::events::{Event, EventLog, Kind};
use crate::names::{Digest, PluginName};
use crate::registry::{Lifecycle, Observed, Plugin, PluginRegistry, PluginStatus, RefusedStatus};
use crate::runner::ToolRunner;
use crate::services::rates::{RatePoint, Rates};
use crate::services::rollout::Rollouts;
use crate::validation::Output;

/// How many plugins are opened at a time while the host starts.
const OPENED_AT_A_TIME: usize = 2;

/// How long the start waits for builds that are to take the place of those that served before.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);

/// Manages the plugins of the host.
pub struct PluginManagementService {
    registry: Arc<PluginRegistry>,
    runner: ToolRunner,
    rollouts: Rollouts,
    events: Arc<EventLog>,
    running: Arc<ArcSwap<Config>>,
    rates: Rates,
}

impl PluginManagementService {
    /// A service for the plugins of `registry`, which executes through `runner`, changes builds through
    /// `rollouts`, tells `events` and goes by the settings as they are in `running`.
    pub fn new(
        registry: Arc<PluginRegistry>,
        runner: ToolRunner,
        rollouts: Rollouts,
        events: Arc<EventLog>,
        running: Arc<ArcSwap<Config>>,
    ) -> Self {
        Self {
            registry,
            runner,
            rollouts,
            events,
            running,
            rates: Rates::default(),
        }
    }

    /// The names of all plugins, in order.
    pub fn list_plugins(&self) -> Vec<PluginName> {
        self.registry.list_plugins()
    }

    /// Every plugin as it stands.
    pub fn all_status(&self) -> Vec<PluginStatus> {
        self.registry.all_status()
    }

    /// What is counted of every plugin.
    pub fn observe(&self) -> Vec<Observed> {
        self.registry.observe()
    }

    /// The files that are not served, each with its reason.
    pub fn refused(&self) -> Vec<RefusedStatus> {
        self.registry.refused()
    }

    /// Why the plugins folder cannot be seen now, if so.
    pub fn folder_problem(&self) -> Option<String> {
        self.registry.folder_problem()
    }

    /// One plugin as it stands.
    ///
    /// # Errors
    /// `plugin_not_found`, or `plugin_unavailable` where only a refused file has the name.
    pub fn status(&self, name: &str) -> Result<PluginStatus, CallError> {
        let plugin = self.registry.get_plugin(name)?;
        status(&plugin)
    }

    /// One plugin as it stands once it is open: its schemas are known only then.
    ///
    /// # Errors
    /// As [`status`](Self::status). A plugin that cannot be opened is told by its lifecycle.
    pub async fn open(&self, name: &str) -> Result<PluginStatus, CallError> {
        let plugin = self.registry.get_plugin(name)?;
        let _ = plugin.open().await;
        status(&plugin)
    }

    /// The plugins that are open, each with the generation that serves: its schemas are known, and those of no other.
    pub fn open_builds(&self) -> Vec<(PluginName, Digest)> {
        let plugins = self.registry.plugins();
        let open = plugins.iter().filter_map(|plugin| {
            let stable = plugin.stable()?;
            stable.serving_now()?;
            Some((plugin.name().clone(), stable.declaration().digest))
        });
        open.collect()
    }

    /// Takes a plugin back into service, and lets one that is held back for its crashes try again:
    /// what holds it back may be from before the host was started, so it is opened for that.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn enable_plugin(&self, name: &str) -> Result<PluginStatus, CallError> {
        let plugin = self.registry.get_plugin(name)?;
        let _ = plugin.open().await;
        plugin.enable();
        self.tell(Kind::Enabled, &plugin);
        status(&plugin)
    }

    /// Takes a plugin out of service: its calls are refused until it is enabled. What runs goes on.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn disable_plugin(&self, name: &str) -> Result<PluginStatus, CallError> {
        let plugin = self.registry.get_plugin(name)?;
        plugin.disable();
        self.tell(Kind::Disabled, &plugin);
        status(&plugin)
    }

    /// Reads settings and folder again, and lets the build that the folder holds serve, even where it was refused
    /// before.
    ///
    /// # Errors
    /// As [`status`](Self::status); `plugin_unavailable` with the reason why that build does not serve, whatever
    /// serves then.
    pub async fn reload_plugin(&self, name: &str) -> Result<PluginStatus, CallError> {
        self.rollouts.reload(Some(name)).await?;
        self.status(name)
    }

    /// Reads settings and folder again.
    ///
    /// # Errors
    /// `plugin_unavailable` where the settings have a fault: those before stay in force.
    pub async fn reload_all(&self) -> Result<(), CallError> {
        self.rollouts.reload(None).await
    }

    /// Lets the last good build of a plugin serve, in place of the one that does.
    ///
    /// # Errors
    /// As [`status`](Self::status); `plugin_unavailable` where there is no such build, or it cannot be opened.
    pub async fn rollback_plugin(&self, name: &str) -> Result<PluginStatus, CallError> {
        self.registry.get_plugin(name)?;
        self.rollouts.rollback(name).await?;
        self.status(name)
    }

    /// Takes a point of every plugin's rates. Somebody is to do so at even intervals.
    pub fn sample_rates(&self) {
        self.rates.sample(&self.registry.plugins());
    }

    /// A plugin's rates over the last ten minutes, the newest last.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn rates(&self, name: &str) -> Result<Vec<RatePoint>, CallError> {
        self.registry.get_plugin(name)?;
        Ok(self.rates.of(name))
    }

    /// Memory of a plugin's lane for an image of `bytes` bytes, if it has any to give.
    pub fn place(&self, plugin: &str, bytes: usize) -> Option<Box<dyn Place>> {
        self.registry.place(plugin, bytes)
    }

    /// Checks a call that is to be carried out later, as far as that can be told now.
    ///
    /// # Errors
    /// The envelope of what is wrong with it.
    pub async fn check(&self, call: &Call) -> Result<(), Box<Envelope>> {
        self.runner.check(call).await
    }

    /// The plugins that can be called now, each with its number of calls at a time.
    pub fn callable(&self) -> Vec<(PluginName, usize)> {
        let plugins = self.registry.plugins();
        let callable = plugins
            .iter()
            .filter(|it| !it.is_leaving() && it.can_serve().is_ok());
        let named = callable.filter_map(|plugin| {
            let concurrency = plugin.stable()?.config().concurrency;
            Some((plugin.name().clone(), concurrency))
        });
        named.collect()
    }

    /// Whether a plugin can be called now.
    pub fn is_callable(&self, name: &PluginName) -> bool {
        let plugin = self.registry.get_plugin(name.as_str());
        plugin.is_ok_and(|plugin| plugin.can_serve().is_ok())
    }

    /// Why a plugin cannot be called; where it can after all, that it could not for too long.
    pub fn absence(&self, name: &PluginName) -> CallError {
        match self.registry.get_plugin(name.as_str()) {
            Err(error) => error,
            Ok(plugin) => plugin.can_serve().err().unwrap_or_else(|| {
                CallError::unavailable("it could not be called for too long".to_owned())
            }),
        }
    }

    /// Runs one call, through the runner.
    ///
    /// # Errors
    /// The envelope of what went wrong.
    pub async fn execute_plugin(&self, call: Arc<Call>) -> Result<Output, Box<Envelope>> {
        let outcome = self.runner.run(call).await;
        if let Err(envelope) = &outcome
            && envelope.code().is_crash()
        {
            self.tell_crash(envelope);
        }
        outcome
    }

    /// Opens as many plugins as the settings say, and all that are required.
    pub async fn preload(&self) {
        let (required, count) = (self.required(), self.running.load().plugins.preload);
        let plugins = self.registry.plugins().into_iter().enumerate();
        let wanted =
            plugins.filter(|(index, plugin)| *index < count || required.contains(plugin.name()));
        let opened = stream::iter(wanted).map(|(_, plugin)| async move {
            // What comes of it is told by who looks after the plugin.
            let _ = plugin.open().await;
            let decided = plugin.until_decided();
            let _ = tokio::time::timeout(DECIDED_WITHIN, decided).await;
        });
        opened
            .buffer_unordered(OPENED_AT_A_TIME)
            .collect::<()>()
            .await;
    }

    /// What keeps the host from being ready: required plugins that do not serve.
    pub fn missing(&self) -> Vec<PluginName> {
        let serves = |name: &PluginName| {
            let plugin = self.registry.find(name.as_str());
            plugin.is_some_and(|plugin| plugin.lifecycle() == Lifecycle::Ready)
        };
        let mut required = self.required();
        required.retain(|name| !serves(name));
        required
    }

    /// Named by the operator as required, whether or not they are there.
    fn required(&self) -> Vec<PluginName> {
        let running = self.running.load();
        let named = running.plugins.named.iter();
        let required = named.filter(|(_, plugin)| plugin.required);
        required.map(|(name, _)| name.clone()).collect()
    }

    /// The answer to the call says so too, but only its caller sees that.
    fn tell_crash(&self, envelope: &Envelope) {
        let error = &envelope.error;
        let mut event = Event::of(Kind::Crashed).reason(&error.message);
        event.plugin.clone_from(&error.plugin);
        event.details.clone_from(&error.details);
        self.events.tell(event);
    }

    fn tell(&self, kind: Kind, plugin: &Plugin) {
        self.events.tell(Event::of(kind).plugin(plugin.name()));
    }
}

/// Where a plugin stands; one of which nothing is left is none.
fn status(plugin: &Plugin) -> Result<PluginStatus, CallError> {
    plugin.status().ok_or_else(|| plugin.gone())
}
