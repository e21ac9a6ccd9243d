//! Why a call under test gave no answer, in an author's words.

use std::fmt;

use serde_json::{Map, Value};

use crate::abi::{CallFailure, FailureKind};

/// Why a call gave no answer. Reads `kind: message`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// Whose fault it is.
    pub kind: Kind,
    /// What went wrong, for people.
    pub message: String,
    /// The facts that came with it, a JSON object; empty for none.
    pub details: Value,
    /// `file:line:column` of a panic; empty for none.
    pub location: String,
}

/// Whose fault a failure is. Reads as the code that callers of a host get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// [`Error::failed`](crate::Error::failed): the plugin could not do its work.
    Failed,
    /// [`Error::invalid_input`](crate::Error::invalid_input): the image is at fault.
    InvalidInput,
    /// [`Error::invalid_options`](crate::Error::invalid_options), or options that do not fit their
    /// type or its schema; a schema's violations are in the details.
    InvalidOptions,
    /// Settings that do not fit their type. A host serves no such plugin.
    InvalidSettings,
    /// Output that cannot be written as JSON, is no object, or breaks the schema of its type.
    InvalidOutput,
    /// [`Error::cancelled`](crate::Error::cancelled): the plugin stopped because it was told to.
    Cancelled,
    /// The plugin panicked.
    Panicked,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: String) -> Self {
        Self {
            kind,
            message,
            details: Value::Object(Map::new()),
            location: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        match self.location.as_str() {
            "" => Ok(()),
            location => write!(f, " at {location}"),
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::InvalidInput => "invalid_input",
            Self::InvalidOptions => "invalid_options",
            Self::InvalidSettings => "invalid_settings",
            Self::InvalidOutput => "invalid_output",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panic",
        })
    }
}

impl From<CallFailure> for Failure {
    fn from(failure: CallFailure) -> Self {
        let details: Map<_, _> = serde_json::from_str(&failure.details).unwrap_or_default();
        Self {
            kind: failure.kind.into(),
            message: failure.message,
            details: details.into(),
            location: failure.location,
        }
    }
}

impl From<FailureKind> for Kind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::INVALID_INPUT => Self::InvalidInput,
            FailureKind::INVALID_OPTIONS => Self::InvalidOptions,
            FailureKind::INVALID_SETTINGS => Self::InvalidSettings,
            FailureKind::UNSERIALIZABLE => Self::InvalidOutput,
            FailureKind::CANCELLED => Self::Cancelled,
            FailureKind::PANIC => Self::Panicked,
            _ => Self::Failed,
        }
    }
}
