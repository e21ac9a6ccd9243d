//! What the bodies have in common: fields by name, each at most once, and options as JSON text.

use serde_json::value::RawValue;

use crate::error::CallError;
use crate::names::nearest;

/// The most of a foreign name that is quoted, and looked for among ours.
const MAX_NAME: usize = 64;

/// Says that there is no `kind` called `found`, and which of `known` may have been meant.
pub(in crate::http) fn unknown(kind: &str, found: &str, known: &[&str]) -> String {
    let found: String = found.escape_debug().take(MAX_NAME).collect();
    match nearest(&found, known.iter().copied()) {
        Some(near) => format!("unknown {kind} `{found}`, did you mean `{near}`?"),
        None => format!(
            "unknown {kind} `{found}`, there are only {}",
            known.join(", ")
        ),
    }
}

/// Puts a value into its place, which must be empty.
pub(in crate::http) fn put<T>(
    place: &mut Option<T>,
    value: T,
    kind: &str,
    name: &str,
) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate {kind} `{name}`")),
    }
}

/// Options that came as text; `null` counts as none.
pub(super) fn options(text: Option<String>) -> Result<Option<Box<RawValue>>, CallError> {
    let parsed = text.map(RawValue::from_string).transpose();
    let parsed = parsed.map_err(|error| CallError::malformed(format_args!("options: {error}")))?;
    Ok(parsed.filter(|options| options.get() != "null"))
}
