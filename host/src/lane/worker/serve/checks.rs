//! Holds options and answers to the plugin's own schemas, in the worker: a schema is the plugin's, and
//! one that takes for ever to check is ended with the call, as the plugin's code is.

use std::borrow::Cow;

use bulkhead_plugin::Manifest;
use serde_json::value::RawValue;

use crate::error::CallError;
use crate::lane::worker::protocol::{Breach, FromWorker, cut};
use crate::validation::{BadSchema, OptionsSchema, OutputRules, SchemaCheck};

/// What a plugin's calls are held to.
pub(super) struct Checks {
    options: OptionsSchema,
    output: OutputRules,
}

impl Checks {
    /// What the plugin declares; `output` tells whether its answers are to be looked at.
    pub(super) fn of(manifest: &str, output: bool) -> Result<Self, String> {
        let manifest: Manifest = serde_json::from_str(manifest)
            .map_err(|error| format!("load_failed: its manifest: {error}"))?;
        let bad = |error: BadSchema| format!("manifest_invalid: {error}; build it with the SDK");
        let check = SchemaCheck::of(output, manifest.typed_output);
        let rules = OutputRules::compile(usize::MAX, &manifest.output_schema, check);
        Ok(Self {
            options: OptionsSchema::compile(&manifest.options_schema).map_err(bad)?,
            output: rules.map_err(bad)?,
        })
    }

    /// Looks at the options of a call.
    pub(super) fn options(&self, text: &str) -> Result<(), FromWorker<'static>> {
        let raw = match text {
            "{}" => None,
            text => serde_json::from_str::<&RawValue>(text).ok(),
        };
        self.options.check(raw).map_err(|error| breach(&error))
    }

    /// Looks at an answer.
    pub(super) fn output(&self, json: &[u8]) -> Result<(), FromWorker<'static>> {
        self.output.holds(json).map_err(|error| breach(&error))
    }
}

fn breach(error: &CallError) -> FromWorker<'static> {
    let owned = |text: &str| Cow::Owned(cut(text).to_owned());
    match error {
        CallError::InvalidOptions { violations } => FromWorker::BadOptions(
            violations
                .iter()
                .map(|violation| Breach {
                    path: owned(&violation.path),
                    reason: owned(&violation.reason),
                })
                .collect(),
        ),
        other => FromWorker::BadOutput(owned(&other.to_string())),
    }
}
