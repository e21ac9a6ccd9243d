//! What plugins say goes into the log, under the ids of the call that they say it in.

use std::sync::Arc;

use bulkhead_plugin::Level;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::call::Call;
use crate::names::{Digest, PluginName};

/// The longest line that a plugin may put into the log, in bytes.
pub(in crate::lane) const MAX_LINE: usize = 4096;

/// Who speaks.
#[derive(Clone, Debug)]
pub(in crate::lane) struct Source {
    request: Arc<str>,
    job: Uuid,
    plugin: PluginName,
    generation: Option<Digest>,
    trace: Option<Arc<str>>,
}

impl Source {
    pub(in crate::lane) fn of(call: &Call) -> Self {
        Self {
            request: Arc::clone(&call.request_id),
            job: call.id,
            plugin: call.plugin.clone(),
            generation: call.generation(),
            trace: call.trace_id(),
        }
    }
}

impl Source {
    /// In its first digits, as it is told everywhere.
    fn generation(&self) -> String {
        let digest = self.generation.as_ref();
        digest.map(Digest::short).unwrap_or_default()
    }
}

/// A line by way of the SDK.
pub(in crate::lane) fn line(call: &Call, level: Level, message: &str) {
    let source = &Source::of(call);
    let message = &message[..message.floor_char_boundary(MAX_LINE)];
    let (request, job, plugin) = (&*source.request, source.job, source.plugin.as_str());
    let (generation, trace) = (source.generation(), source.trace.as_deref());
    match level {
        Level::Error => {
            error!(target: "plugin", request, %job, plugin, generation, trace, "{message}")
        }
        Level::Warn => {
            warn!(target: "plugin", request, %job, plugin, generation, trace, "{message}")
        }
        Level::Info => {
            info!(target: "plugin", request, %job, plugin, generation, trace, "{message}")
        }
        Level::Debug => {
            debug!(target: "plugin", request, %job, plugin, generation, trace, "{message}")
        }
    }
    if let Some(ear) = &call.ear {
        ear.line(word(level), message);
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

/// A line on a worker's standard output or error.
pub(in crate::lane) fn printed(source: Option<&Source>, plugin: &PluginName, line: &str) {
    let plugin = plugin.as_str();
    match source {
        Some(source) => {
            let (request, job) = (&*source.request, source.job);
            let (generation, trace) = (source.generation(), source.trace.as_deref());
            info!(target: "plugin", request, %job, plugin, generation, trace, printed = true, "{line}");
        }
        None => info!(target: "plugin", plugin, printed = true, "{line}"),
    }
}

/// What was not written down, because it was too much.
pub(in crate::lane) fn dropped(source: Option<&Source>, plugin: &PluginName, bytes: u64) {
    const SAID: &str =
        "the plugin printed more than the log takes of one call: the rest is dropped";
    let plugin = plugin.as_str();
    match source {
        Some(source) => {
            let (request, job) = (&*source.request, source.job);
            let (generation, trace) = (source.generation(), source.trace.as_deref());
            warn!(target: "plugin", request, %job, plugin, generation, trace, bytes, "{SAID}");
        }
        None => warn!(target: "plugin", plugin, bytes, "{SAID}"),
    }
}
