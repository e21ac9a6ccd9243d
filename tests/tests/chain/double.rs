//! Stands where a lane does: does as it is told, and records what it is entered with.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bulkhead::call::{Call, Entered, Lane, Outcome, Permit, RawOutput};
use bulkhead::error::CallError;
use bulkhead::runner::Pass;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Map;
use tokio::sync::Notify;

/// What is to be done with calls.
#[derive(Clone)]
pub(crate) enum Does {
    Answer(&'static str),
    Fail(&'static str),
    /// In the future that it gives.
    Panic(&'static str),
    /// Before it gives one.
    PanicAtOnce(&'static str),
    /// Until the gate opens.
    Wait(Arc<Notify>),
}

#[derive(Clone)]
pub(crate) struct Double(Arc<State>);

struct State {
    does: Mutex<Does>,
    calls: Mutex<Vec<Arc<Call>>>,
    entered: Notify,
}

impl Double {
    pub(super) fn new(does: Does) -> Self {
        Self(Arc::new(State {
            does: Mutex::new(does),
            calls: Mutex::default(),
            entered: Notify::new(),
        }))
    }

    /// From now on does something else.
    pub(crate) fn then(&self, does: Does) {
        *self.0.does.lock().unwrap() = does;
    }

    /// What it was entered with: MIME type, image and options of each call.
    pub(crate) fn taken(&self) -> Vec<String> {
        let calls = self.0.calls.lock().unwrap();
        let text = |call: &Arc<Call>| {
            let image = String::from_utf8_lossy(call.payload.as_slice());
            format!("{} {image} {}", call.mime_type, call.options_json())
        };
        calls.iter().map(text).collect()
    }

    /// Whether any of its calls was told that nobody waits.
    pub(crate) fn was_cancelled(&self) -> bool {
        let calls = self.0.calls.lock().unwrap();
        let cancelled = |call: &Arc<Call>| call.cancelled().load(Ordering::Relaxed);
        calls.iter().any(cancelled)
    }

    /// Waits until it is entered.
    pub(crate) async fn entered(&self) {
        self.0.entered.notified().await;
    }
}

impl Lane for Double {
    fn enter_unguarded(&self, call: Arc<Call>, permit: Permit, _: Pass) -> Entered {
        self.0.calls.lock().unwrap().push(call);
        self.0.entered.notify_one();
        let does = self.0.does.lock().unwrap().clone();
        if let Does::PanicAtOnce(message) = does {
            panic!("{message}");
        }
        // In a task of its own: as in a real lane, the code goes on when its caller is gone.
        let code = tokio::spawn(async move {
            let _permit = permit;
            perform(does).await
        });
        let ended = code.map(|ended| {
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        });
        Entered::Running(ended.boxed())
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn outlives_deadline(&self) -> bool {
        false
    }
}

async fn perform(does: Does) -> Outcome {
    match does {
        Does::Answer(json) => Ok(answer(json)),
        Does::Fail(message) => Err(CallError::Failed {
            message: message.to_owned(),
            details: Map::new(),
        }),
        Does::Panic(message) | Does::PanicAtOnce(message) => panic!("{message}"),
        Does::Wait(gate) => {
            gate.notified().await;
            Ok(answer("{}"))
        }
    }
}

fn answer(json: &'static str) -> RawOutput {
    RawOutput {
        json: Bytes::from_static(json.as_bytes()),
        attachments: Vec::new(),
    }
}
