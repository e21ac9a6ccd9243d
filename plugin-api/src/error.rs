//! What a plugin answers when it cannot answer. Knows nothing of the ABI.

use std::fmt::{self, Display};

use serde::Serialize;
use serde_json::{Map, Value};

/// Why a call, or the making of an instance, failed.
///
/// Every `std` error becomes one by `?`, as [`Error::failed`] with its chain of causes; to blame
/// somebody else for it, say what was not possible, and why with [`because`](Self::because):
///
/// ```
/// # use bulkhead_plugin::Error;
/// fn width(text: &[u8]) -> Result<u32, Error> {
///     let text = str::from_utf8(text)
///         .map_err(|error| Error::invalid_input("the header is no text").because(error))?;
///     Ok(text.parse()?)
/// }
/// assert_eq!(
///     width(b"\xff").unwrap_err().message(),
///     "the header is no text: invalid utf-8 sequence of 1 bytes from index 0",
/// );
/// ```
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

    /// Says why, with the causes of the cause, each after a colon. Of an error that already repeats
    /// its cause in its own text, the cause is not told twice.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error) -> Self {
        let mut next: Option<&dyn std::error::Error> = Some(&cause);
        while let Some(cause) = next {
            let text = cause.to_string();
            if !self.message.ends_with(&text) {
                self.message.push_str(": ");
                self.message.push_str(&text);
            }
            next = cause.source();
        }
        self
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
        let failed = Self::failed(&error);
        match error.source() {
            Some(cause) => failed.because(cause),
            None => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, std::num::ParseIntError);

    impl Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.1)
        }
    }

    fn outer(text: &'static str) -> Outer {
        Outer(text, "x".parse::<u8>().unwrap_err())
    }

    #[test]
    fn a_std_error_brings_its_causes() {
        let error = Error::from(outer("no size"));
        assert_eq!(error.message(), "no size: invalid digit found in string");
    }

    #[test]
    fn causes_change_nothing_of_the_blame() {
        let error = Error::invalid_input("no header").because(outer("no size"));
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert_eq!(
            error.message(),
            "no header: no size: invalid digit found in string"
        );
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_twice() {
        let text = "no size: invalid digit found in string";
        assert_eq!(Error::from(outer(text)).message(), text);
        let error = Error::failed("no header").because(outer(text));
        assert_eq!(error.message(), format!("no header: {text}"));
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
