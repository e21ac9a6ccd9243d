//! The forms of values as JSON Schema says them: for editors, and in words (`x-form`) for people. Knows no key.
//!
//! A pattern may let through what the parser refuses, never the other way round.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::grants::{AbsolutePath, VariableName};
use crate::config::scalar::{Address, Level, Name, Settings};
use crate::config::units::{ByteSize, Span};
use crate::config::within::{Quantity, Within};
use crate::config::{Collector, FileMode, HostPattern, PayloadPlace, Secret, StorePlace, UidRange};

/// The keyword with the form in words; it does not leave the program.
pub(super) const FORM: &str = "x-form";

const SIZE: &str = r"^\s*[0-9]*\.?[0-9]+\s*([kKmMgGtTpPeE][iI]?)?[bB]?\s*$";
const SPAN: &str = r"^\s*(0|([0-9]+(\.[0-9]+)?\s*(n|u|µ|m|M|s|h|d|w|y)[a-z]*\s*)+)$";

/// A type that is written as text of some form.
macro_rules! text {
    ($($type:ty: $form:literal, $pattern:literal;)*) => { $(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "x-form": $form })
            }
        }
    )* };
}

text! {
    AbsolutePath: "an absolute path", r"^/";
    Address: "an address and a port", r"^(\[[0-9a-fA-F:.%]+\]|[0-9.]+):[0-9]{1,5}$";
    Collector: "`http://HOST:PORT` or `https://HOST:PORT`", r"^https?://[^/?#@ ]+/*$";
    FileMode: "three octal digits", r"^0?[0-7]{3}$";
    HostPattern: "a host, or all below a domain", r"^(\*\.)?[A-Za-z0-9._-]+$|^\[?[0-9A-Fa-f:.]+\]?$";
    Level: "levels, with commas between", r".*";
    Name: "the name of a plugin", r"^[a-z][a-z0-9-]{0,63}$";
    PayloadPlace: "`files`, `database`, a path or a URL", r"^(files|database|s3://.+|/.*)$";
    Secret: "`whsec_` and base64", r"^whsec_[A-Za-z0-9+/]+=*$";
    StorePlace: "`sqlite`, or a URL", r"^(sqlite|postgres(ql)?://.+)$";
    UidRange: "`FIRST..LAST`, from 1 on", r"^\s*[0-9]+\s*\.\.\s*[0-9]+\s*$";
    VariableName: "the name of a variable", r"^[^=]+$";
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "x-form": "a table" })
    }
}

/// What is counted, as a schema says it.
pub(super) trait Counted: Quantity {
    /// The schema of values from `min` to `max`.
    fn between(min: u64, max: u64) -> Schema;
}

impl Counted for u64 {
    fn between(min: u64, max: u64) -> Schema {
        let form = format!("a whole number from {min} to {max}");
        json_schema!({ "type": "integer", "minimum": min, "maximum": max, "x-form": form })
    }
}

/// Numbers are held to the limits here, text by the parser alone.
impl Counted for ByteSize {
    fn between(min: u64, max: u64) -> Schema {
        let form = format!("a size from {} to {}", Self::of(min), Self::of(max));
        json_schema!({
            "type": ["string", "integer"], "pattern": SIZE, "minimum": min, "maximum": max, "x-form": form
        })
    }
}

impl Counted for Span {
    fn between(min: u64, max: u64) -> Schema {
        let form = format!("a duration from {} to {}", Self::of(min), Self::of(max));
        json_schema!({ "type": "string", "pattern": SPAN, "x-form": form })
    }
}

impl<T: Counted, const MIN: u64, const MAX: u64> JsonSchema for Within<T, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("From{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::between(MIN, MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_takes_no_pattern_refuses() {
        let sizes = [
            "0", "12", "12B", "1KB", "512KiB", "64 MiB", "1.5GiB", " 1k ", "2gib",
        ];
        check::<ByteSize>(SIZE, &sizes, &["lots", "-1", "64 potatoes", ""]);
        let spans = [
            "0s", "500ms", "1h30m", "1h 30m", "7d", "2 weeks", "1.5s", "3months", "1day", "0",
        ];
        check::<Span>(SPAN, &spans, &["30", "-1s", "soon", ""]);
    }

    #[track_caller]
    fn check<T: std::str::FromStr>(pattern: &str, good: &[&str], bad: &[&str]) {
        let schema = serde_json::json!({ "pattern": pattern });
        let passes = |text: &str| jsonschema::is_valid(&schema, &text.into());
        for text in good {
            assert!(text.parse::<T>().is_ok() && passes(text), "{text:?}");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err() && !passes(text), "{text:?}");
        }
    }
}
