//! One call on one thread: from the host's types to the plugin's and back.

use std::time::Duration;

use bulkhead_plugin::Level;
use bulkhead_plugin::abi::{Reply, Run, Sink};
use bytes::Bytes;

use crate::call::{Attachment, Call, Outcome, Permit, RawOutput};
use crate::error::Traceback;
use crate::lane::failure;
use crate::lane::instances::Instances;
use crate::lane::plugin_log;
use crate::loader::Symbols;

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
            .map_err(|failure| failure::explain(failure, |backtrace| self.name(backtrace)))
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

/// The host's side of a running call.
struct CallSink<'a> {
    call: &'a Call,
    permit: &'a Permit,
}

impl Sink for CallSink<'_> {
    fn log(&self, level: Level, message: &str) {
        plugin_log::line(self.call, level, message);
    }

    fn progress(&self, fraction: f32) {
        self.call.set_progress(fraction);
    }

    fn remaining(&self) -> Option<Duration> {
        Some(self.permit.remaining())
    }
}
