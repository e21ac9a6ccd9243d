//! Lists and selects plugins, brings them in from a folder, and delegates every execution to the
//! runner. Never runs a plugin itself.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tracing::{info, warn};

use crate::call::{Call, Place};
use crate::config::Config;
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::lane::worker::Workers;
use crate::loader::Scan;
use crate::names::PluginName;
use crate::registry::{Lifecycle, Plugin, PluginRegistry, PluginStatus, RefusedStatus};
use crate::runner::ToolRunner;
use crate::services::opening;
use crate::validation::Output;

/// How many plugins are opened at a time while the host starts.
const OPENED_AT_A_TIME: usize = 2;

/// Manages the plugins of the host.
pub struct PluginManagementService {
    registry: Arc<PluginRegistry>,
    runner: ToolRunner,
    // Named by the operator as required, whether or not they were found.
    required: Vec<PluginName>,
}

impl PluginManagementService {
    /// A service for the plugins of `registry`, which executes through `runner`.
    pub fn new(
        registry: Arc<PluginRegistry>,
        runner: ToolRunner,
        required: Vec<PluginName>,
    ) -> Self {
        Self {
            registry,
            runner,
            required,
        }
    }

    /// Takes over what a scan of the plugins folder gave. Nothing is opened yet.
    pub fn take_over(&self, scan: Scan, config: &Config, workers: &Arc<Workers>) {
        let found: Vec<_> = scan
            .staged
            .iter()
            .map(|staged| staged.manifest.name.clone())
            .collect();
        let configured = config.plugins.named.keys().chain([&config.plugins.default]);
        for name in configured.filter(|name| !found.contains(name)) {
            warn!(
                plugin = name.as_str(),
                "the configuration names a plugin that the folder does not have"
            );
        }
        for staged in scan.staged {
            let settings = config.plugin(&staged.manifest.name);
            self.registry
                .register(Arc::new(opening::plugin(workers, staged, settings)));
        }
        let refused = scan.refused.into_iter().map(|refused| {
            let (file, reason) = (refused.file, refused.rejection.explain());
            warn!(file, reason, "file is not served");
            RefusedStatus {
                file,
                name: refused.plugin,
                lifecycle: Lifecycle::Rejected,
                reason,
            }
        });
        self.registry.set_refused(refused.collect());
    }

    /// The names of all plugins, in order.
    pub fn list_plugins(&self) -> Vec<PluginName> {
        self.registry.list_plugins()
    }

    /// Every plugin as it stands.
    pub fn all_status(&self) -> Vec<PluginStatus> {
        self.registry.all_status()
    }

    /// The files that are not served, each with its reason.
    pub fn refused(&self) -> Vec<RefusedStatus> {
        self.registry.refused()
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

    /// Takes a plugin back into service, and lets one that is held back for its crashes try again:
    /// what holds it back may be from before the host was started, so it is opened for that.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn enable_plugin(&self, name: &str) -> Result<PluginStatus, CallError> {
        let plugin = self.registry.get_plugin(name)?;
        let _ = plugin.open().await;
        plugin.enable();
        info!(plugin = plugin.name().as_str(), "plugin was enabled");
        status(&plugin)
    }

    /// Takes a plugin out of service: its calls are refused until it is enabled. What runs goes on.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn disable_plugin(&self, name: &str) -> Result<PluginStatus, CallError> {
        let plugin = self.registry.get_plugin(name)?;
        plugin.disable();
        info!(plugin = plugin.name().as_str(), "plugin was disabled");
        status(&plugin)
    }

    /// Memory of a plugin's lane for an image of `bytes` bytes, if it has any to give.
    pub fn place(&self, plugin: &str, bytes: usize) -> Option<Box<dyn Place>> {
        self.registry.place(plugin, bytes)
    }

    /// Runs one call, through the runner.
    ///
    /// # Errors
    /// The envelope of what went wrong.
    pub async fn execute_plugin(&self, call: Arc<Call>) -> Result<Output, Box<Envelope>> {
        self.runner.run(call).await
    }

    /// Opens the first `count` plugins and all that are required, and says what came of it.
    pub async fn preload(&self, count: usize) {
        let plugins = self.registry.plugins().into_iter().enumerate();
        let wanted = plugins
            .filter(|(index, plugin)| *index < count || self.required.contains(plugin.name()));
        let opened = stream::iter(wanted).map(|(_, plugin)| async move {
            let opened = plugin.open().await;
            report(&plugin, opened);
        });
        opened
            .buffer_unordered(OPENED_AT_A_TIME)
            .collect::<()>()
            .await;
    }

    /// What keeps the host from being ready: required plugins that do not serve.
    pub fn missing(&self) -> Vec<PluginName> {
        let plugins = self.registry.plugins();
        let serves = |name: &PluginName| {
            let plugin = plugins.iter().find(|plugin| plugin.name() == name);
            plugin.is_some_and(|plugin| plugin.lifecycle() == Lifecycle::Ready)
        };
        self.required
            .iter()
            .filter(|name| !serves(name))
            .cloned()
            .collect()
    }
}

/// Where a plugin stands; one of which nothing is left is none.
fn status(plugin: &Plugin) -> Result<PluginStatus, CallError> {
    plugin.status().ok_or_else(|| plugin.gone())
}

fn report(plugin: &Plugin, opened: Result<(), CallError>) {
    let Some(stable) = plugin.stable() else {
        return;
    };
    let declaration = stable.declaration();
    let (name, version) = (plugin.name().as_str(), declaration.version.to_string());
    let generation = declaration.digest.short();
    match opened {
        Ok(()) => info!(plugin = name, version, generation, "plugin is ready"),
        Err(error) => warn!(plugin = name, version, generation, %error, "plugin is not served"),
    }
}
