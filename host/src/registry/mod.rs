//! The plugins by name, with their metrics and states. Knows no files and no way to run anything.
//!
//! Lookups read an immutable map that a change replaces whole, so no call waits for one.

mod by_code;
mod generation;
mod latency;
mod metrics;
mod observed;
mod past;
mod plugin;
mod queue;
mod served;
mod status;
mod sync;
mod turnstile;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

pub use generation::{Declaration, Generation, OpenPlugin, Serving};
pub use metrics::{Metrics, Outcomes, Totals};
pub use observed::{Observed, ObservedGeneration};
pub use plugin::Plugin;
pub use served::{Look, Turn};
pub use status::{GenerationStatus, LatencyMs, Lifecycle, PluginStatus, RefusedStatus};

use crate::call::Place;
use crate::error::CallError;
use crate::names::{PluginName, nearest_first};

/// Holds every plugin that the host knows, and every file that it refused.
#[derive(Default)]
pub struct PluginRegistry {
    entries: ArcSwap<Entries>,
    writer: Mutex<()>,
}

#[derive(Clone, Default)]
struct Entries {
    plugins: HashMap<PluginName, Arc<Plugin>, foldhash::fast::RandomState>,
    refused: Vec<RefusedStatus>,
    folder_problem: Option<String>,
}

impl PluginRegistry {
    /// Adds a plugin, in place of one of the same name.
    pub fn register(&self, plugin: Arc<Plugin>) {
        self.change(|entries| {
            entries.plugins.insert(plugin.name().clone(), plugin);
        });
    }

    /// Forgets a plugin of which nothing is left, unless another has taken its name.
    pub fn forget(&self, gone: &Arc<Plugin>) {
        self.change(|entries| {
            let is_it = |known: &Arc<Plugin>| Arc::ptr_eq(known, gone);
            if entries.plugins.get(gone.name()).is_some_and(is_it) {
                entries.plugins.remove(gone.name());
            }
        });
    }

    /// Notes the files that are not served, in place of all that were noted before.
    pub fn set_refused(&self, refused: Vec<RefusedStatus>) {
        self.change(|entries| entries.refused = refused);
    }

    /// Notes why the plugins folder cannot be seen, if so; its plugins stay.
    pub fn set_folder_problem(&self, problem: Option<String>) {
        self.change(|entries| entries.folder_problem = problem);
    }

    /// Why the plugins folder cannot be seen now, if so.
    pub fn folder_problem(&self) -> Option<String> {
        self.entries.load().folder_problem.clone()
    }

    /// The plugin of that name, if it is called or has calls left.
    pub fn find(&self, name: &str) -> Option<Arc<Plugin>> {
        self.entries.load().plugins.get(name).cloned()
    }

    /// The plugin of that name, if it may be called.
    ///
    /// # Errors
    /// `plugin_unavailable` where only a refused file has the name, else `plugin_not_found` with
    /// the names that there are, nearest first.
    pub fn get_plugin(&self, name: &str) -> Result<Arc<Plugin>, CallError> {
        let entries = self.entries.load();
        let found = entries.plugins.get(name).filter(|it| !it.is_leaving());
        found.cloned().ok_or_else(|| entries.explain_absence(name))
    }

    /// Memory of a plugin's lane for an image of `bytes` bytes, if it is open and has any to give.
    pub fn place(&self, name: &str, bytes: usize) -> Option<Box<dyn Place>> {
        let stable = self.entries.load().plugins.get(name)?.stable()?;
        stable.serving_now()?.lane.place(bytes)
    }

    /// The names of all plugins, in order.
    pub fn list_plugins(&self) -> Vec<PluginName> {
        let mut names: Vec<_> = self.entries.load().plugins.keys().cloned().collect();
        names.sort();
        names
    }

    /// All plugins, in order of their names.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        let mut plugins: Vec<_> = self.entries.load().plugins.values().cloned().collect();
        plugins.sort_by(|a, b| a.name().cmp(b.name()));
        plugins
    }

    /// What there is to know of every plugin, in order of their names.
    pub fn all_status(&self) -> Vec<PluginStatus> {
        self.plugins()
            .iter()
            .filter_map(|plugin| plugin.status())
            .collect()
    }

    /// What is counted of every plugin, in order of their names.
    pub fn observe(&self) -> Vec<Observed> {
        let plugins = self.plugins();
        plugins.iter().map(|plugin| plugin.observe()).collect()
    }

    /// The files that are not served, each with its reason.
    pub fn refused(&self) -> Vec<RefusedStatus> {
        self.entries.load().refused.clone()
    }

    fn change(&self, edit: impl FnOnce(&mut Entries)) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Entries::clone(&self.entries.load());
        edit(&mut entries);
        self.entries.store(Arc::new(entries));
    }
}

impl Entries {
    fn explain_absence(&self, name: &str) -> CallError {
        if let Some(file) = self.refused.iter().find(|file| file.may_be(name)) {
            let reason = format!("{} (file {})", file.reason, file.file);
            return CallError::Unavailable {
                reason,
                retry_after: None,
            };
        }
        let called = self.plugins.values().filter(|plugin| !plugin.is_leaving());
        let names = nearest_first(name, called.map(|plugin| plugin.name().as_str()));
        let available = names.into_iter().map(str::to_owned).collect();
        CallError::UnknownPlugin {
            name: name.escape_default().take(64).collect(),
            available,
        }
    }
}

#[cfg(test)]
mod tests;
