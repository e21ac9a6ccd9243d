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
        let declaration = E::DECLARATION;
        let accepts = declaration.accepts.iter().map(ToString::to_string);
        Self {
            name: declaration.name.to_owned(),
            version: declaration.version.to_owned(),
            abi: crate::abi::REVISION,
            thread_safe: crate::abi::thread_safe::<E>(),
            accepts: accepts.collect(),
            summary: declaration.summary.to_owned(),
            options_schema: options_schema::<E::Plugin>(),
            output_schema: output_schema::<E::Plugin>(),
            typed_output: true,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest consists of strings and JSON")
    }
}

pub(crate) fn options_schema<P: Plugin>() -> Value {
    schema::<P::Options>(SchemaSettings::default().for_deserialize())
}

pub(crate) fn output_schema<P: Plugin>() -> Value {
    schema::<P::Output>(SchemaSettings::default().for_serialize())
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    settings.into_generator().into_root_schema_for::<T>().into()
}
