//! A plugin's JSON Schema, compiled once.

use jsonschema::Validator;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::error::Violation;

/// The most violations that are told at once.
const MAX_VIOLATIONS: usize = 16;
/// The most that is told of one, in bytes.
const MAX_TEXT: usize = 300;

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

/// Whether a schema says nothing of its values but their types, so that what was written from those
/// types fits it. A constraint that an author has added (a range, a length, a pattern) is more.
pub(super) fn says_types_only(schema: &Value) -> bool {
    match schema {
        Value::Object(keywords) => keywords
            .iter()
            .all(|(keyword, value)| match keyword.as_str() {
                "properties" | "$defs" => value
                    .as_object()
                    .is_some_and(|map| map.values().all(says_types_only)),
                "items" | "additionalProperties" => says_types_only(value),
                "anyOf" | "oneOf" => value
                    .as_array()
                    .is_some_and(|all| all.iter().all(says_types_only)),
                // Of these values are written as they are declared, or they name what is looked at above.
                "type" | "required" | "$ref" | "enum" | "const" | "format" => true,
                "$schema" | "title" | "description" | "default" => true,
                "minimum" | "maximum" => bound_of_format(keywords, keyword)
                    .is_some_and(|bound| value.as_f64() == Some(bound)),
                _ => false,
            }),
        Value::Bool(_) => true,
        _ => false,
    }
}

/// The bound that a whole number's own type sets.
fn bound_of_format(keywords: &Map<String, Value>, bound: &str) -> Option<f64> {
    let (least, most) = match keywords.get("format")?.as_str()? {
        "uint8" => (0.0, f64::from(u8::MAX)),
        "uint16" => (0.0, f64::from(u16::MAX)),
        "uint32" | "uint64" | "uint128" | "uint" => (0.0, f64::INFINITY),
        "int8" => (f64::from(i8::MIN), f64::from(i8::MAX)),
        "int16" => (f64::from(i16::MIN), f64::from(i16::MAX)),
        _ => return None,
    };
    Some(if bound == "minimum" { least } else { most })
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
                path: shortened(error.instance_path().to_string()),
                reason: shortened(error.to_string()),
            });
        Err(violations.collect())
    }
}

/// A reason quotes what it is about, however large that is.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, expected: bool) {
        assert_eq!(says_types_only(&schema), expected, "{schema}");
    }

    #[test]
    fn a_constraint_is_more_than_a_type() {
        check(
            json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}),
            true,
        );
        check(
            json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
            true,
        );
        check(
            json!({"type": "integer", "format": "uint8", "minimum": 1, "maximum": 255}),
            false,
        );
        check(
            json!({"type": "integer", "format": "uint", "minimum": 0}),
            true,
        );
        check(
            json!({"type": "number", "format": "double", "maximum": 1}),
            false,
        );
        check(
            json!({"type": "array", "items": {"$ref": "#/$defs/X"}, "maxItems": 3}),
            false,
        );
        check(
            json!({"$defs": {"X": {"type": "string", "pattern": "^a"}}}),
            false,
        );
    }
}
