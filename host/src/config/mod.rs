//! The settings: what an operator may say, in which order the sources count, and what holds where none says anything.
//!
//! Owns every default and limit, and is the only module that reads the environment. It must know no other part of the
//! host but names: who needs a setting is handed the value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::names::PluginName;

mod access;
mod adopt;
mod document;
mod environment;
mod error;
mod grants;
mod jobs;
mod keys;
mod layer;
mod masked;
mod places;
mod plugin;
mod reference;
mod resolve;
mod scalar;
mod server;
mod sources;
mod telemetry;
mod units;
mod variable;
mod within;
mod workers;

pub use access::{Access, Loopback};
pub use environment::Environment;
pub use error::{ConfigError, InFile, Problem};
pub use jobs::{
    Callbacks, HostPattern, Jobs, PayloadPlace, PostgresUrl, Retention, Secret, StorePlace,
};
pub use plugin::{LaneKind, PluginConfig};
pub use reference::{Oddity, Origin, Setting, Settings, explain, schema};
pub use server::{FileMode, Server, Tls};
pub use sources::{Overrides, Sources, read};
pub use telemetry::{Collector, Telemetry};
pub use units::{BadUnit, ByteSize, Span};
pub use workers::{PlatformKind, Sandbox, UidRange, Workers};

/// Every setting of the host, resolved: no source is asked again.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The folder that is ours to write: `--state`, else `BULKHEAD_STATE`, else `$STATE_DIRECTORY`, else
    /// `$XDG_STATE_HOME/bulkhead`, else `$HOME/.local/state/bulkhead`.
    pub state: PathBuf,
    /// `[server]`
    pub server: Server,
    /// `[access]`
    pub access: Access,
    /// `[plugins]` and `[plugin.NAME]`
    pub plugins: Plugins,
    /// `[workers]`
    pub workers: Workers,
    /// `[jobs]`
    pub jobs: Jobs,
    /// `[log]`
    pub log: Log,
    /// `[telemetry]`
    pub telemetry: Telemetry,
}

impl Config {
    /// What holds when no source says anything, with `state` as the folder that is ours.
    pub fn built_in(state: PathBuf) -> Self {
        Self {
            state,
            server: Server::default(),
            access: Access::default(),
            plugins: Plugins::default(),
            workers: Workers::default(),
            jobs: Jobs::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
        }
    }

    /// The file with the digests of the tokens.
    pub fn tokens(&self) -> PathBuf {
        let own = self.access.tokens.clone();
        own.unwrap_or_else(|| self.state.join("tokens.json"))
    }

    /// The settings of one plugin, whether or not the file names it.
    pub fn plugin(&self, name: &PluginName) -> PluginConfig {
        let plugins = &self.plugins;
        plugins.named.get(name).unwrap_or(&plugins.defaults).clone()
    }
}

/// Where plugins come from, and how each is treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugins {
    /// `plugins.dir`
    pub dir: PathBuf,
    /// `plugins.default`
    pub default: PluginName,
    /// `plugins.preload`
    pub preload: usize,
    /// `plugins.watch`
    pub watch: bool,
    /// `plugins.settle`
    pub settle: Span,
    /// `plugins.rescan`
    pub rescan: Span,
    /// `plugins.keep`
    pub keep: usize,
    /// For plugins that have no `[plugin.NAME]`.
    pub defaults: PluginConfig,
    /// For those that have one. What it leaves open is filled in from the defaults.
    pub named: BTreeMap<PluginName, PluginConfig>,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("plugins"),
            default: PluginName::parse("image-info").expect("a valid name"),
            preload: 64,
            watch: true,
            settle: Span::millis(300),
            rescan: Span::seconds(2),
            keep: 3,
            defaults: PluginConfig::default(),
            named: BTreeMap::new(),
        }
    }
}

/// What is logged, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `log.level`
    pub level: String,
    /// `log.format`
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// The form of a log line.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

#[cfg(test)]
mod tests;
