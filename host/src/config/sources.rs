//! The sources and their order: built-in defaults, the file, the environment, the flags. The last that speaks counts.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::document::Document;
use super::error::Problem;
use super::layer::{Layer, PluginsKeys, ServerKeys};
use super::resolve::resolve;
use super::scalar::{Address, Name};
use super::{
    Config, ConfigError, Environment, Jobs, LaneKind, PayloadPlace, PluginConfig, StorePlace,
};
use crate::names::PluginName;

/// The file that is read, if it is there, when none is named.
const FILE: &str = "bulkhead.toml";

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`: a file that must be there. Else it is `BULKHEAD_CONFIG`, else `bulkhead.toml` in `folder`.
    pub config: Option<PathBuf>,
    /// Where `bulkhead.toml` is looked for when none is named. Empty: the working directory.
    pub folder: PathBuf,
    /// The variables; what is not called `BULKHEAD_…` is only looked at for the folder of the state.
    pub environment: Environment,
    /// The flags.
    pub overrides: Overrides,
}

/// What the flags of a command say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--plugins`, in place of `plugins.dir`.
    pub plugins: Option<PathBuf>,
    /// `--state`
    pub state: Option<PathBuf>,
    /// `--listen`, in place of `server.listen`.
    pub listen: Option<SocketAddr>,
    /// In place of `plugins.default`.
    pub default: Option<PluginName>,
}

/// Reads every source once and checks all that they say.
///
/// # Errors
/// The first problem found, with its place: in the file, then in the environment, then between them.
pub fn read(sources: &Sources) -> Result<Config, ConfigError> {
    gather(sources).map(|(config, _)| config)
}

/// The same, with the file that was read.
pub(super) fn gather(sources: &Sources) -> Result<(Config, Option<Document>), ConfigError> {
    let document = sources.document()?;
    let of_file = document.iter().map(|document| document.layer.clone());
    let mut layers: Vec<Layer> = of_file.collect();
    layers.extend(sources.environment.layers()?);
    layers.push(sources.overrides.layer());

    let config = resolve(&layers, sources.state()?, &sources.environment)?;
    if config.server.tls.certificate.is_some() != config.server.tls.key.is_some() {
        let path = &["server", "tls"];
        return Err(sources.blame(document.as_ref(), path, Problem::HalfTls));
    }
    if let Some(plugin) = inline_worker(&config) {
        return Err(sources.inline_worker(document.as_ref(), plugin));
    }
    match config.jobs.fault() {
        Some((path, problem)) => Err(sources.blame(document.as_ref(), path, problem)),
        None => Ok((config, document)),
    }
}

impl Sources {
    /// The environment of this process and its working directory.
    pub fn of_process(config: Option<PathBuf>, overrides: Overrides) -> Self {
        Self {
            config,
            folder: PathBuf::new(),
            environment: Environment::of_process(),
            overrides,
        }
    }

    fn document(&self) -> Result<Option<Document>, ConfigError> {
        match self.config.clone().or_else(|| self.environment.config()) {
            Some(path) => Document::read(&path).map(Some),
            None => Document::find(&self.folder.join(FILE)),
        }
    }

    fn state(&self) -> Result<PathBuf, ConfigError> {
        let flag = self.overrides.state.clone();
        flag.or_else(|| self.environment.state())
            .ok_or(ConfigError::NoState)
    }

    /// Blames the source that the key at `path` came from, if not from a flag.
    fn blame(&self, document: Option<&Document>, path: &[&str], problem: Problem) -> ConfigError {
        match (self.environment.setter(path), document) {
            (None, Some(document)) => document.fault_at(path, problem),
            (name, _) => ConfigError::Given {
                name: name.unwrap_or_else(|| path.join(".")),
                problem,
            },
        }
    }
}

impl Sources {
    /// Blames the source that asked for it, as near to the plugin as there is one.
    fn inline_worker(&self, document: Option<&Document>, plugin: Option<&str>) -> ConfigError {
        let problem = Problem::InlineWorker;
        let keys = ["inline", "lane"];
        let says = |path: &Vec<&str>| document.is_some_and(|document| document.says(path));
        let own = plugin.map(|name| keys.map(|key| vec!["plugin", name, key]));
        let of_all = keys.map(|key| vec!["plugins", "defaults", key]);
        let setter = || of_all.iter().find_map(|path| self.environment.setter(path));
        let own = own.into_iter().flatten().find(&says);
        let path = match own {
            Some(path) => Some(path),
            None => match setter() {
                Some(name) => return ConfigError::Given { name, problem },
                None => of_all.iter().find(|path| says(path)).cloned(),
            },
        };
        match (document, path) {
            (Some(document), Some(path)) => document.fault_at(&path, problem),
            _ => ConfigError::Given {
                name: "plugins.defaults.inline".to_owned(),
                problem,
            },
        }
    }
}

impl Jobs {
    /// What is wrong between keys, and which of them is to be mended.
    fn fault(&self) -> Option<(&'static [&'static str], Problem)> {
        let is_shared = matches!(self.store, StorePlace::Postgres(_));
        if is_shared && self.payloads == PayloadPlace::Files {
            return Some((&["jobs", "payloads"], Problem::LocalPayloads));
        }
        let callbacks = &self.callbacks;
        let unsigned = !callbacks.hosts.is_empty() && callbacks.secret.is_none();
        unsigned.then_some((&["jobs", "callbacks", "hosts"], Problem::Unsigned))
    }
}

impl Overrides {
    /// The flag that sets the key at `path`, if it is given.
    pub(super) fn flag(&self, path: &[&str]) -> Option<&'static str> {
        match path {
            ["server", "listen"] => self.listen.map(|_| "--listen"),
            ["plugins", "dir"] => self.plugins.as_ref().map(|_| "--plugins"),
            _ => None,
        }
    }

    fn layer(&self) -> Layer {
        Layer {
            server: ServerKeys {
                listen: self.listen.map(Address),
                ..ServerKeys::default()
            },
            plugins: PluginsKeys {
                dir: self.plugins.clone(),
                default: self.default.clone().map(Name),
                ..PluginsKeys::default()
            },
            ..Layer::default()
        }
    }
}

/// Who is to run calls on the calling task and in workers at once: a plugin, or the defaults.
fn inline_worker(config: &Config) -> Option<Option<&str>> {
    let is_both = |plugin: &PluginConfig| plugin.inline && plugin.lane == LaneKind::Process;
    let plugins = &config.plugins;
    let named = plugins.named.iter().find(|(_, plugin)| is_both(plugin));
    let defaults = is_both(&plugins.defaults).then_some(None);
    defaults.or_else(|| named.map(|(name, _)| Some(name.as_str())))
}
