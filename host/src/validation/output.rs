//! A plugin's answer before anybody gets it: a JSON object within bounds, passed on as the bytes
//! that came. A tree is built only where the plugin's own schema must be checked.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::schema::{BadSchema, Schema, says_types_only};
use crate::call::{Attachment, RawOutput};
use crate::error::CallError;

/// The deepest nesting of an answer.
const MAX_DEPTH: usize = 100;
/// The most values in an answer.
const MAX_VALUES: usize = 1_000_000;

/// An answer that was checked.
#[derive(Clone)]
pub struct Output {
    json: Bytes,
    /// Binary data beside it.
    pub attachments: Vec<Attachment>,
}

impl Output {
    /// The JSON object, as the bytes that came.
    pub fn json(&self) -> &Bytes {
        &self.json
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.json);
        f.debug_struct("Output")
            .field("json", &text)
            .finish_non_exhaustive()
    }
}

/// What an answer is held to.
#[derive(Debug)]
pub struct OutputRules {
    max_bytes: usize,
    schema: Option<Schema>,
    only_nulls: bool,
}

/// Which answers are held to the plugin's own schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaCheck {
    /// All.
    Always,
    /// Those that can break it, where output is written from the type that the schema was made from:
    /// all where the schema says more than types, else those with a null, which is what becomes of
    /// a number that is not finite.
    Typed,
    /// None.
    Never,
}

impl SchemaCheck {
    /// The check that an operator wants of a plugin whose output is `typed` or not.
    pub fn of(wanted: bool, typed: bool) -> Self {
        match (wanted, typed) {
            (true, false) => Self::Always,
            (true, true) => Self::Typed,
            (false, _) => Self::Never,
        }
    }
}

impl OutputRules {
    /// Rules with a bound on JSON and attachments together, and the plugin's schema.
    ///
    /// # Errors
    /// When the schema is none.
    pub fn compile(
        max_bytes: usize,
        declared: &Value,
        check: SchemaCheck,
    ) -> Result<Self, BadSchema> {
        let schema = match check {
            SchemaCheck::Always | SchemaCheck::Typed => Some(Schema::compile("output", declared)?),
            SchemaCheck::Never => None,
        };
        Ok(Self {
            max_bytes,
            schema,
            only_nulls: check == SchemaCheck::Typed && says_types_only(declared),
        })
    }

    /// Checks an answer.
    ///
    /// # Errors
    /// `invalid_output` with what is wrong.
    pub fn check(&self, raw: RawOutput) -> Result<Output, CallError> {
        let RawOutput { json, attachments } = raw;
        self.check_size(&json, &attachments)?;
        self.holds(&json)?;
        Ok(Output { json, attachments })
    }

    /// Checks an answer's JSON, whatever its size.
    ///
    /// # Errors
    /// `invalid_output` with what is wrong.
    pub fn holds(&self, json: &[u8]) -> Result<(), CallError> {
        let text = read(json)?;
        check_kind(text)?;
        let has_null = check_shape(text.as_bytes())?;
        if has_null || !self.only_nulls {
            self.check_schema(text)?;
        }
        Ok(())
    }

    fn check_size(&self, json: &Bytes, attachments: &[Attachment]) -> Result<(), CallError> {
        let total = attachments
            .iter()
            .map(|a| a.data.len())
            .fold(json.len(), usize::saturating_add);
        if total > self.max_bytes {
            let limit = self.max_bytes;
            let problem = format!("the plugin answered {total} bytes, over the limit of {limit}");
            return Err(CallError::invalid_output(problem));
        }
        Ok(())
    }

    fn check_schema(&self, text: &str) -> Result<(), CallError> {
        let Some(schema) = &self.schema else {
            return Ok(());
        };
        let value: Value = serde_json::from_str(text).map_err(not_json)?;
        schema.check(&value).map_err(|violations| {
            let (path, reason) = violations
                .first()
                .map_or(("", ""), |v| (v.path.as_str(), v.reason.as_str()));
            let problem = format!("the plugin broke its own schema at `{path}`: {reason}");
            CallError::invalid_output(problem)
        })
    }
}

/// The text, once it is known to be one JSON value in UTF-8.
fn read(json: &[u8]) -> Result<&str, CallError> {
    let value: &RawValue = serde_json::from_slice(json).map_err(not_json)?;
    Ok(value.get())
}

fn not_json(error: serde_json::Error) -> CallError {
    CallError::invalid_output(format_args!("the plugin answered no valid JSON: {error}"))
}

fn check_kind(text: &str) -> Result<(), CallError> {
    match text.as_bytes().first() {
        Some(b'{') => Ok(()),
        Some(b'n') => Err(CallError::invalid_output("Plugin returned None")),
        _ => Err(CallError::invalid_output("Plugin output must be a dict")),
    }
}

/// Bounds depth and number of values in one pass, finds what cannot be read though the grammar allows
/// it, and tells whether there is a null; the text is known to be valid.
fn check_shape(text: &[u8]) -> Result<bool, CallError> {
    let (mut depth, mut values, mut has_null, mut at) = (0_usize, 1_usize, false, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let start = at;
                let has_half;
                (at, has_half) = end_of_string(text, at + 1);
                if has_half {
                    check_token::<String>(text, start, at)?;
                }
            }
            b'-' | b'0'..=b'9' => {
                let start = at;
                at = end_of_number(text, at);
                if may_be_infinite(&text[start..=at]) {
                    check_token::<f64>(text, start, at)?;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' => values += 1,
            b'n' => has_null = true,
            _ => {}
        }
        if depth > MAX_DEPTH {
            let problem = format!("the plugin's answer nests deeper than {MAX_DEPTH}");
            return Err(CallError::invalid_output(problem));
        }
        at += 1;
    }
    if values > MAX_VALUES {
        let problem =
            format!("the plugin answered {values} values, over the limit of {MAX_VALUES}");
        return Err(CallError::invalid_output(problem));
    }
    Ok(has_null)
}

/// Whether one string or number can be read: half a character cannot, nor can 1e999.
fn check_token<T: DeserializeOwned>(
    text: &[u8],
    first: usize,
    last: usize,
) -> Result<(), CallError> {
    let token = text.get(first..=last).unwrap_or_default();
    serde_json::from_slice::<T>(token)
        .map(drop)
        .map_err(not_json)
}

/// Where the string that begins at `at` has its closing quote, and whether it may have an escaped half
/// of a character before that.
fn end_of_string(text: &[u8], mut at: usize) -> (usize, bool) {
    let mut has_half = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                has_half |= matches!(text.get(at + 1..at + 3), Some(b"ud" | b"uD"));
                at += 2;
            }
            _ => at += 1,
        }
    }
    (at, has_half)
}

/// Where the number that begins at `at` has its last byte.
fn end_of_number(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default().iter();
    let more =
        rest.take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    at + more.count()
}

/// Only a number with an exponent or with very many digits is too large for any.
fn may_be_infinite(number: &[u8]) -> bool {
    number.len() > 300 || number.iter().any(|byte| matches!(byte, b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(json: impl Into<Vec<u8>>, expected: &str) {
        let schema = json!({"properties": {"score": {"type": "number"}}});
        let rules = OutputRules::compile(16 << 20, &schema, SchemaCheck::Always).unwrap();
        let raw = RawOutput {
            json: Bytes::from(json.into()),
            attachments: Vec::new(),
        };
        let found = rules
            .check(raw)
            .map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert!(
            found.contains(expected),
            "{found} does not contain {expected}"
        );
    }

    #[test]
    fn output_must_be_an_object() {
        check(r#"{"ok": true}"#, "fine");
        check(" {} ", "fine");
        check("null", "Plugin returned None");
        check("\"not a dict\"", "Plugin output must be a dict");
        check("[]", "Plugin output must be a dict");
        check("", "no valid JSON");
        check("{} {}", "no valid JSON");
    }

    #[test]
    fn output_must_be_json_in_utf_8() {
        check(*b"{\"a\": \"\xff\"}", "no valid JSON");
        check(r#"{"score": NaN}"#, "no valid JSON");
        check(r#"{"score": null}"#, "broke its own schema at `/score`");
    }

    #[test]
    fn what_no_caller_can_read_is_refused_without_a_schema_too() {
        let rules = OutputRules::compile(1 << 20, &json!(true), SchemaCheck::Never).unwrap();
        let passes = |value: &str| {
            let raw = RawOutput {
                json: Bytes::from(format!("{{\"a\": {value}}}")),
                attachments: Vec::new(),
            };
            rules.check(raw).is_ok()
        };
        let many = "9".repeat(400);
        for good in [
            r#""\ud83d\uDE00""#,
            r#""\\ud83d""#,
            r#""\ud7ff""#,
            "[1e308, -1E-999, 0.5e+3]",
            "[true, false, 18446744073709551616]",
        ] {
            assert!(passes(good), "{good}");
        }
        for bad in [
            r#""\ud83d""#,
            r#""\uDE00\ud83d""#,
            "1e999",
            "[-1E+400]",
            &many,
        ] {
            assert!(!passes(bad), "{bad}");
        }
    }

    #[test]
    fn output_is_bounded() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        check(deep, "nests deeper than 100");
        check(
            r#"{"a": "[[[[\"{{{{"}"#.replace("[", &"[".repeat(200)),
            "fine",
        );
        let many = format!("{{\"a\": [{}1]}}", "1,".repeat(1_000_000));
        check(many, "1000001 values");
        check(
            format!("{{\"a\": \"{}\"}}", "x".repeat(16 << 20)),
            "over the limit",
        );
    }

    #[test]
    fn typed_output_is_held_to_its_schema_where_it_has_a_null() {
        let schema = json!({"properties": {"score": {"type": "number"}}});
        let rules = OutputRules::compile(1 << 20, &schema, SchemaCheck::Typed).unwrap();
        let passes = |json: &'static str| {
            let raw = RawOutput {
                json: Bytes::from_static(json.as_bytes()),
                attachments: Vec::new(),
            };
            rules.check(raw).is_ok()
        };
        assert!(passes(r#"{"score": 1.5, "name": "null"}"#));
        assert!(!passes(r#"{"score": null}"#));
        assert!(passes(r#"{"score": 1.5, "other": null}"#));
    }

    #[test]
    fn attachments_count_towards_the_bound() {
        let rules = OutputRules::compile(100, &json!(true), SchemaCheck::Never).unwrap();
        let data = Bytes::from(vec![0; 99]);
        let mime_type = "image/png".to_owned();
        let attachment = Attachment {
            name: "a.png".to_owned(),
            mime_type,
            data,
        };
        let raw = RawOutput {
            json: Bytes::from("{}"),
            attachments: vec![attachment],
        };
        assert!(
            rules
                .check(raw)
                .unwrap_err()
                .to_string()
                .contains("101 bytes")
        );
    }
}
