//! Single values that are checked while they are read. Knows no key and no source.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Map, Number, Value};
use tracing_subscriber::EnvFilter;

use crate::names::{PluginName, nearest};

/// The name of a plugin, as a value or as a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) PluginName);

impl TryFrom<String> for Name {
    type Error = crate::names::BadName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        PluginName::parse(&text).map(Self)
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Address(pub(super) SocketAddr);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            let found = text.escape_debug();
            format!("`{found}` is no address and port: write \"127.0.0.1:8077\" or \"[::1]:8077\"")
        })
    }
}

/// What the log's filter takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Level(pub(super) String);

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

        if let Err(reason) = EnvFilter::try_new(&text) {
            return Err(format!(
                "`{}` is no log filter: {reason}",
                text.escape_debug()
            ));
        }
        // The filter takes any word for the name of a module, so a mistyped level would silence the log.
        let mistyped = text.split(',').map(str::trim).find_map(|word| {
            let level = nearest(&word.to_lowercase(), LEVELS)?;
            (!word.eq_ignore_ascii_case(level)).then_some((word, level))
        });
        match mistyped {
            Some((word, level)) => Err(format!("`{word}` is no level: did you mean `{level}`?")),
            None => Ok(Self(text)),
        }
    }
}

/// What is handed to a plugin: a table of the file as a JSON object.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub(super) struct Settings(pub(super) Value);

impl TryFrom<toml::Table> for Settings {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Self, String> {
        object(table).map(Self)
    }
}

fn object(table: toml::Table) -> Result<Value, String> {
    let json: Result<Map<_, _>, _> = table
        .into_iter()
        .map(|(key, value)| Ok((key, json(value)?)))
        .collect();
    json.map(Value::Object)
}

fn json(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| format!("{number} cannot be said in JSON"))?,
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect::<Result<_, _>>()?,
        toml::Value::Table(table) => object(table)?,
    })
}
