//! One call on one thread: from the host's types to the plugin's and back.

use std::time::Duration;

use bulkhead_plugin::Level;
use bulkhead_plugin::abi::{CallFailure, FailureKind, Reply, Run, Sink};
use bytes::Bytes;
use serde_json::{Map, Value};
use tracing::{debug, error, info, warn};

use super::instances::Instances;
use crate::call::{Attachment, Call, Outcome, Permit, RawOutput};
use crate::error::{CallError, Traceback, Violation};
use crate::loader::{Symbols, tidy_path};

/// The longest line that a plugin may put into the log, in bytes.
const MAX_LOG_LINE: usize = 4096;

/// A plugin and the names of its functions.
pub(super) struct Runnable {
    pub(super) instances: Instances,
    pub(super) symbols: Symbols,
}

impl Runnable {
    /// Carries a call out on this thread.
    pub(super) fn run(&self, call: &Call, permit: &Permit) -> Outcome {
        let run = Run {
            image: call.payload.as_slice(),
            mime_type: &call.mime_type,
            options: call.options_json(),
            cancelled: call.cancelled(),
            sink: &CallSink { call, permit },
        };
        self.instances
            .run(&run)
            .map(raw_output)
            .map_err(|failure| self.explain(failure))
    }

    fn explain(&self, failure: CallFailure) -> CallError {
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
                traceback: self.name(backtrace),
            },
            _ => CallError::Failed {
                message,
                details: facts(&details),
            },
        }
    }

    fn name(&self, backtrace: Vec<u64>) -> Traceback {
        let symbols = self.symbols.clone();
        Traceback::later(move || symbols.name(&backtrace))
    }
}

/// The plugin's memory is passed on as it is: its library stays open, so it can be freed any time.
fn raw_output(reply: Reply) -> RawOutput {
    let attachments = reply.attachments.into_iter().map(|attachment| Attachment {
        name: attachment.name,
        mime_type: attachment.mime_type,
        data: Bytes::from_owner(attachment.data),
    });
    RawOutput {
        json: Bytes::from_owner(reply.json),
        attachments: attachments.collect(),
    }
}

fn facts(details: &str) -> Map<String, Value> {
    serde_json::from_str(details).unwrap_or_default()
}

/// The host's side of a running call.
struct CallSink<'a> {
    call: &'a Call,
    permit: &'a Permit,
}

impl Sink for CallSink<'_> {
    fn log(&self, level: Level, message: &str) {
        let message = &message[..message.floor_char_boundary(MAX_LOG_LINE)];
        let call = self.call;
        let (request, job, plugin) = (&*call.request_id, call.id, call.plugin.as_str());
        match level {
            Level::Error => error!(target: "plugin", request, %job, plugin, "{message}"),
            Level::Warn => warn!(target: "plugin", request, %job, plugin, "{message}"),
            Level::Info => info!(target: "plugin", request, %job, plugin, "{message}"),
            Level::Debug => debug!(target: "plugin", request, %job, plugin, "{message}"),
        }
    }

    fn progress(&self, fraction: f32) {
        self.call.set_progress(fraction);
    }

    fn remaining(&self) -> Option<Duration> {
        Some(self.permit.remaining())
    }
}
