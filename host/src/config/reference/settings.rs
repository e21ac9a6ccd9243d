//! What holds, and which source said so: for people who look for the place to change it.

use std::path::PathBuf;

use super::key;
use super::values;
use crate::config::document::Document;
use crate::config::sources::gather;
use crate::config::{Config, ConfigError, Sources, keys};

/// All settings with their origins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// What comes of all sources.
    pub config: Config,
    /// Where the state folder comes from.
    pub state: Origin,
    /// Each key, in the order of the documentation; of `[plugin.NAME]` those that are set there.
    pub all: Vec<Setting>,
}

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The tables that it stands in, from the top.
    pub table: Vec<String>,
    /// Its own name.
    pub name: String,
    /// Its value, without secrets; nothing where it has none.
    pub value: Option<toml::Value>,
    /// Who said so.
    pub origin: Origin,
}

/// Who has said what a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The file, in this line.
    File(usize),
    /// This variable.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

/// Reads every source, as [`read`](crate::config::read) does, and remembers which of them counted.
///
/// # Errors
/// The same.
pub fn explain(sources: &Sources) -> Result<Settings, ConfigError> {
    let (config, document) = gather(sources)?;
    let values = values::of(&config);
    let setting = |path: &[&str]| {
        let (name, table) = path.split_last()?;
        Some(Setting {
            table: table.iter().map(|it| (*it).to_owned()).collect(),
            name: (*name).to_owned(),
            value: values::at(&values, path).cloned(),
            origin: sources.origin(document.as_ref(), path),
        })
    };
    let of_all = key::all().into_iter();
    let mut all: Vec<_> = of_all.filter_map(|key| setting(&key.path())).collect();
    for name in config.plugins.named.keys() {
        let keys = keys::of(&["plugin", name.as_str()]).unwrap_or_default();
        let own = keys.iter().map(|key| ["plugin", name.as_str(), key]);
        let own = own.filter_map(|path| setting(&path));
        all.extend(own.filter(|setting| setting.origin != Origin::Default));
    }
    Ok(Settings {
        file: document.map(|document| document.path().to_owned()),
        state: sources.origin_of_state(),
        config,
        all,
    })
}

impl Sources {
    /// The strongest source that says something of the key at `path`.
    fn origin(&self, document: Option<&Document>, path: &[&str]) -> Origin {
        let flag = self.overrides.flag(path).map(Origin::Flag);
        let variable = || self.environment.source(path).map(Origin::Variable);
        let line = || document?.line(path).map(Origin::File);
        flag.or_else(variable)
            .or_else(line)
            .unwrap_or(Origin::Default)
    }

    fn origin_of_state(&self) -> Origin {
        let flag = self.overrides.state.is_some();
        let flag = flag.then_some(Origin::Flag("--state"));
        let variable = || {
            Some(Origin::Variable(
                self.environment.state_setter()?.to_owned(),
            ))
        };
        flag.or_else(variable).unwrap_or(Origin::Default)
    }
}
