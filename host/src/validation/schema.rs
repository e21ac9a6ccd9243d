//! A plugin's JSON Schema, compiled once.

use jsonschema::Validator;
use serde_json::Value;
use thiserror::Error;

use crate::error::Violation;

/// The most violations that are told at once.
const MAX_VIOLATIONS: usize = 16;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema(Validator);

/// A schema that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the schema of the {subject} is no JSON Schema: {problem}")]
pub struct BadSchema {
    subject: &'static str,
    problem: String,
}

impl Schema {
    /// Compiles the schema of `subject`.
    pub(super) fn compile(subject: &'static str, schema: &Value) -> Result<Self, BadSchema> {
        let compiled = jsonschema::validator_for(schema);
        compiled.map(Self).map_err(|error| BadSchema {
            subject,
            problem: error.to_string(),
        })
    }

    /// Every way in which `value` breaks the schema, up to a bound.
    pub(super) fn check(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.0.is_valid(value) {
            return Ok(());
        }
        let violations = self
            .0
            .iter_errors(value)
            .take(MAX_VIOLATIONS)
            .map(|error| Violation {
                path: error.instance_path().to_string(),
                reason: error.to_string(),
            });
        Err(violations.collect())
    }
}
