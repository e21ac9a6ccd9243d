//! Options against the schema that the plugin declares for them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use serde_json::value::RawValue;

use super::schema::{BadSchema, Schema};
use crate::error::{CallError, Violation};

/// What a plugin takes as options.
#[derive(Debug)]
pub struct OptionsSchema {
    schema: Schema,
    // Most calls bring none, so that verdict is reached once.
    none: Result<(), Vec<Violation>>,
    // Most of the others bring the same as the one before.
    latest_good: ArcSwapOption<String>,
}

/// The largest options, in bytes: they are held to a schema, which takes its time.
const MAX_OPTIONS: usize = 1 << 20;
/// The longest options that are remembered, in bytes.
const MAX_REMEMBERED: usize = 4096;

impl OptionsSchema {
    /// Compiles a plugin's schema.
    ///
    /// # Errors
    /// When it is none.
    pub fn compile(schema: &Value) -> Result<Self, BadSchema> {
        let schema = Schema::compile("options", schema)?;
        let none = schema.check(&Value::Object(serde_json::Map::new()));
        Ok(Self {
            schema,
            none,
            latest_good: ArcSwapOption::empty(),
        })
    }

    /// Holds what a call brings to the schema; no options count as `{}`.
    ///
    /// # Errors
    /// `malformed_request` where the text cannot be read (too deep, a number out of range), else
    /// `invalid_options` with every violation.
    pub fn check(&self, options: Option<&RawValue>) -> Result<(), CallError> {
        let verdict = match options {
            None => self.none.clone(),
            Some(text) if self.is_latest_good(text.get()) => Ok(()),
            Some(text) => self
                .schema
                .check(&parse(text)?)
                .map(|()| self.remember(text.get())),
        };
        verdict.map_err(|violations| CallError::InvalidOptions { violations })
    }

    fn is_latest_good(&self, text: &str) -> bool {
        self.latest_good
            .load()
            .as_deref()
            .is_some_and(|good| good == text)
    }

    fn remember(&self, text: &str) {
        if text.len() <= MAX_REMEMBERED {
            self.latest_good.store(Some(Arc::new(text.to_owned())));
        }
    }
}

fn parse(text: &RawValue) -> Result<Value, CallError> {
    let size = text.get().len();
    if size > MAX_OPTIONS {
        let problem = format!("options: {size} bytes, over the limit of {MAX_OPTIONS}");
        return Err(CallError::malformed(problem));
    }
    serde_json::from_str(text.get())
        .map_err(|error| CallError::malformed(format_args!("options: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(options: Option<&str>, expected: &str) {
        let schema = OptionsSchema::compile(&json!({
            "type": "object",
            "properties": {"colours": {"type": "integer", "minimum": 1, "maximum": 16}},
            "additionalProperties": false,
        }));
        let raw = options.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        let found = schema.unwrap().check(raw.as_deref());
        let found = match found {
            Ok(()) => "fine".to_owned(),
            Err(CallError::InvalidOptions { violations }) => violations[0].path.clone(),
            Err(error) => error.code().as_str().to_owned(),
        };
        assert_eq!(found, expected, "{options:?}");
    }

    #[test]
    fn options_are_held_to_their_schema() {
        check(None, "fine");
        check(Some("{}"), "fine");
        check(Some(r#"{"colours": 5}"#), "fine");
        check(Some(r#"{"colours": 99}"#), "/colours");
        check(Some(r#"{"colours": "5"}"#), "/colours");
        check(Some(r#"{"colors": 5}"#), "");
        check(Some("[]"), "");
    }

    #[test]
    fn ht_11_options_that_nest_too_deep_are_malformed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(Some(&deep), "malformed_request");
        check(Some(r#"{"colours": 1e400}"#), "malformed_request");
    }

    #[test]
    fn a_schema_that_is_none_is_told() {
        let error = OptionsSchema::compile(&json!({"type": "nonsense"})).unwrap_err();
        assert!(
            error.to_string().starts_with("the schema of the options"),
            "{error}"
        );
    }
}
