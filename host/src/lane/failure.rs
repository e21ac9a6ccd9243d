//! From a plugin's failure to the host's error: the same in every lane.

use bulkhead_plugin::abi::{CallFailure, FailureKind};
use serde_json::{Map, Value};

use crate::error::{CallError, Traceback, Violation};
use crate::loader::tidy_path;

/// What a failure is to the host; `name` names the addresses of a panic's backtrace.
pub(in crate::lane) fn explain(
    failure: CallFailure,
    name: impl FnOnce(Vec<u64>) -> Traceback,
) -> CallError {
    let CallFailure {
        kind,
        message,
        details,
        location,
        backtrace,
    } = failure;
    match kind {
        FailureKind::INVALID_INPUT => CallError::InvalidInput {
            message,
            details: facts(&details),
        },
        FailureKind::INVALID_OPTIONS => CallError::InvalidOptions {
            violations: vec![Violation {
                path: String::new(),
                reason: message,
            }],
        },
        FailureKind::UNSERIALIZABLE => CallError::invalid_output(message),
        FailureKind::CANCELLED => CallError::Cancelled,
        FailureKind::PANIC => CallError::Panicked {
            message,
            location: tidy_path(&location).to_owned(),
            traceback: name(backtrace),
        },
        _ => CallError::Failed {
            message,
            details: facts(&details),
        },
    }
}

fn facts(details: &str) -> Map<String, Value> {
    serde_json::from_str(details).unwrap_or_default()
}
