//! What a plugin says of itself, as JSON: the fields of its note, and its schemas.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Plugin;
use crate::abi::Export;

/// A plugin's whole manifest. The note in the file says the same but for the schemas, which only
/// running code can give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The plugin's name.
    pub name: String,
    /// The semantic version of its crate.
    pub version: String,
    /// The ABI revision that it was built for.
    pub abi: u32,
    /// Whether one instance may run several calls at a time.
    pub thread_safe: bool,
    /// The MIME types that it takes: `type/subtype`, `type/*` or `*/*`.
    pub accepts: Vec<String>,
    /// What it does, in a line.
    pub summary: String,
    /// The JSON Schema of the options.
    pub options_schema: Value,
    /// The JSON Schema of the output.
    pub output_schema: Value,
    /// Whether output is written from the type that its schema was made from, as this SDK does. It
    /// can then break its schema only where a number is not finite, which JSON writes as null.
    #[serde(default)]
    pub typed_output: bool,
}

impl Manifest {
    pub(crate) fn of<E: Export>() -> Self {
        Self {
            name: field::<E>("name"),
            version: field::<E>("version"),
            abi: crate::abi::REVISION,
            thread_safe: E::THREAD_SAFE,
            accepts: fields::<E>("accepts").map(str::to_owned).collect(),
            summary: field::<E>("summary"),
            options_schema: schema::<<E::Plugin as Plugin>::Options>(
                SchemaSettings::default().for_deserialize(),
            ),
            typed_output: true,
            output_schema: schema::<<E::Plugin as Plugin>::Output>(
                SchemaSettings::default().for_serialize(),
            ),
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest consists of strings and JSON")
    }
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    settings.into_generator().into_root_schema_for::<T>().into()
}

fn field<E: Export>(key: &str) -> String {
    fields::<E>(key).next().unwrap_or_default().to_owned()
}

fn fields<E: Export>(key: &str) -> impl Iterator<Item = &'static str> {
    let lines = E::FIELDS.split_terminator('\0');
    lines
        .filter_map(|line| line.split_once('='))
        .filter(move |(k, _)| *k == key)
        .map(|(_, v)| v)
}
