//! The environment of the process, and the settings in it. The one place of the host that reads it; knows no file.
//!
//! The variable of a key is `BULKHEAD_`, its table and its name: `BULKHEAD_PLUGINS_DEFAULTS_DEADLINE`. An empty one
//! counts as not set. `BULKHEAD_LOG` is short for `BULKHEAD_LOG_LEVEL`, which wins over it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::grants::VariableName;
use super::layer::Layer;
use super::{keys, variable};
use crate::names::nearest;

const PREFIX: &str = "BULKHEAD_";
const CONFIG: &str = "BULKHEAD_CONFIG";
const STATE: &str = "BULKHEAD_STATE";
const TOKEN: &str = "BULKHEAD_TOKEN";
const CA_FILE: &str = "BULKHEAD_CA_FILE";
const STATE_OF_SERVICE: &str = "STATE_DIRECTORY";
const LOG: &str = "BULKHEAD_LOG";

/// The variables that were set when we started.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        // A name that is no text is none of ours.
        env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// Whether nobody wants to see colours: <https://no-color.org>.
    pub fn forbids_colour(&self) -> bool {
        self.get("NO_COLOR").is_some()
    }

    /// The file that `BULKHEAD_CONFIG` names.
    pub(super) fn config(&self) -> Option<PathBuf> {
        self.get(CONFIG).map(PathBuf::from)
    }

    /// The token that commands show to a daemon.
    ///
    /// # Errors
    /// When it is no text.
    pub fn token(&self) -> Result<Option<String>, ConfigError> {
        let given = |value: &OsStr| {
            let text = value.to_str().map(str::to_owned);
            text.ok_or_else(|| ConfigError::Given {
                name: TOKEN.to_owned(),
                problem: Problem::NotUnicode,
            })
        };
        self.get(TOKEN).map(given).transpose()
    }

    /// The file with the certificates that commands have vouch for a daemon.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.get(CA_FILE).map(PathBuf::from)
    }

    /// The folder for the state, as the first of several variables says.
    pub(super) fn state(&self) -> Option<PathBuf> {
        let below = |name, rest: &str| Some(self.absolute(name)?.join(rest));
        self.get(STATE)
            .map(PathBuf::from)
            .or_else(|| self.state_of_service())
            .or_else(|| below("XDG_STATE_HOME", "bulkhead"))
            .or_else(|| below("HOME", ".local/state/bulkhead"))
    }

    /// The variable that sets the key at `path`, if it is set.
    pub(super) fn setter(&self, path: &[&str]) -> Option<String> {
        let name = variable_of(path);
        self.get(&name).is_some().then_some(name)
    }

    /// The same, by any of its names.
    pub(super) fn source(&self, path: &[&str]) -> Option<String> {
        let short =
            || (path == ["log", "level"] && self.get(LOG).is_some()).then(|| LOG.to_owned());
        self.setter(path).or_else(short)
    }

    /// The variable that says where the state is.
    pub(super) fn state_setter(&self) -> Option<&'static str> {
        let is_set = |name: &&str| self.get(name).is_some();
        let is_absolute = |name: &&str| self.absolute(name).is_some();
        let own = [STATE, STATE_OF_SERVICE].into_iter().find(is_set);
        own.or_else(|| ["XDG_STATE_HOME", "HOME"].into_iter().find(is_absolute))
    }

    /// Those of the variables in `names` that are set, with their values: an empty one is, for who
    /// is handed it.
    pub(super) fn handed(
        &self,
        names: &[VariableName],
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let set = names.iter().filter_map(|VariableName(name)| {
            let value = self.0.get(name)?;
            Some(
                value
                    .to_str()
                    .map(|text| (name.clone(), text.to_owned()))
                    .ok_or_else(|| ConfigError::Given {
                        name: name.clone(),
                        problem: Problem::NotUnicode,
                    }),
            )
        });
        set.collect()
    }

    /// The variables whose names begin so, with their values.
    pub(super) fn beginning_with(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let ours = self.0.keys().filter(|name| name.starts_with(prefix));
        let names: Vec<_> = ours.cloned().map(VariableName).collect();
        self.handed(&names)
    }

    /// What the variables say, one layer each, the weakest first.
    pub(super) fn layers(&self) -> Result<Vec<Layer>, ConfigError> {
        let known = known();
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(PREFIX));
        ours.filter_map(|(name, value)| match known.get(name) {
            None => Some(Err(unknown(name, &known))),
            Some(None) => None,
            Some(Some(_)) if value.is_empty() => None,
            Some(Some(path)) => Some(layer(name, value, path)),
        })
        .collect()
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// A service manager may give several folders, with colons between; the first is ours.
    fn state_of_service(&self) -> Option<PathBuf> {
        env::split_paths(self.get(STATE_OF_SERVICE)?).next()
    }

    /// The XDG rules say to ignore a path that is not absolute.
    fn absolute(&self, name: &str) -> Option<&Path> {
        self.get(name)
            .map(Path::new)
            .filter(|path| path.is_absolute())
    }
}

/// Values may be secrets: only the names are shown.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// A key from the top: tables, then its name.
type KeyPath = Vec<&'static str>;

/// Every variable of ours, and the key that it sets, if it is one of the file's.
fn known() -> BTreeMap<String, Option<KeyPath>> {
    let special = [
        (CONFIG.to_owned(), None),
        (STATE.to_owned(), None),
        (TOKEN.to_owned(), None),
        (CA_FILE.to_owned(), None),
        (LOG.to_owned(), Some(vec!["log", "level"])),
    ];
    let of_keys = keys::TABLES.into_iter().flat_map(|table| {
        let keys = keys::of(table).unwrap_or_default();
        keys.iter().map(move |key| [table, &[*key]].concat())
    });
    of_keys
        .filter(|path| keys::of(path).is_none())
        .map(|path| (variable_of(&path), Some(path)))
        .chain(special)
        .collect()
}

pub(super) fn variable_of(path: &[&str]) -> String {
    format!("{PREFIX}{}", path.join("_").to_uppercase())
}

fn layer(name: &str, value: &OsStr, path: &[&str]) -> Result<Layer, ConfigError> {
    let problem = match value.to_str().map(|text| variable::read(path, text)) {
        Some(Ok(layer)) => return Ok(layer),
        Some(Err(error)) => Problem::Value(error.to_string()),
        None => Problem::NotUnicode,
    };
    Err(ConfigError::Given {
        name: name.to_owned(),
        problem,
    })
}

fn unknown(name: &str, known: &BTreeMap<String, Option<KeyPath>>) -> ConfigError {
    ConfigError::UnknownVariable {
        name: name.escape_debug().to_string(),
        nearest: nearest(without_prefix(name), known.keys().map(without_prefix))
            .map(|name| format!("{PREFIX}{name}")),
    }
}

/// What all of them share would make all of them seem near.
fn without_prefix<S: AsRef<str> + ?Sized>(name: &S) -> &str {
    let name = name.as_ref();
    name.strip_prefix(PREFIX).unwrap_or(name)
}
