//! What a plugin answers when it cannot answer. Knows nothing of the ABI.

use std::fmt::{self, Display};

use serde::Serialize;
use serde_json::{Map, Value};

/// Why a call, or the making of an instance, failed.
///
/// Every `std` error becomes one by `?`, as [`Error::failed`] with its chain of causes.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    kind: Kind,
    message: String,
    details: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed,
    InvalidInput,
    InvalidOptions,
    InvalidSettings,
    Unserializable,
    Cancelled,
}

impl Error {
    /// The plugin could not do its work, and the caller is not to blame.
    pub fn failed(message: impl Display) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The image is at fault: it cannot be decoded, or is nothing that this plugin can work on.
    pub fn invalid_input(message: impl Display) -> Self {
        Self::new(Kind::InvalidInput, message)
    }

    /// The options fit their schema and still make no sense.
    pub fn invalid_options(message: impl Display) -> Self {
        Self::new(Kind::InvalidOptions, message)
    }

    /// The plugin stopped because [`Context::is_cancelled`](crate::Context::is_cancelled) said so.
    pub fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "cancelled")
    }

    /// Adds a fact that the caller gets as JSON in the error's `details`. What cannot be
    /// serialized is left out.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.details.insert(name.to_owned(), value);
        }
        self
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The facts that were added.
    pub fn details(&self) -> &Map<String, Value> {
        &self.details
    }

    pub(crate) fn new(kind: Kind, message: impl Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            details: Map::new(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `Error` itself is no `std::error::Error`, or this would overlap with `From<Error> for Error`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::failed(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_std_error_brings_its_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("no size")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Error::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(error.message(), "no size: invalid digit found in string");
    }

    #[test]
    fn details_keep_their_types() {
        let error = Error::failed("no")
            .with_detail("limit", 3)
            .with_detail("found", "x");
        assert_eq!(
            Value::from(error.details().clone()),
            serde_json::json!({"limit": 3, "found": "x"})
        );
    }
}
