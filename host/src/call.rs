//! A call, and the [`Lane`] that can carry one out. Knows no plugin, no thread and no process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use uuid::{NoContext, Timestamp, Uuid};

use crate::error::CallError;
use crate::names::{Digest, PluginName};
// The one arrow that points up: the key to the door hangs where the door is kept.
use crate::runner::Pass;

/// One execution of a plugin, from its request to its end.
#[derive(Debug)]
pub struct Call {
    /// Its id, which is the id of its job too.
    pub id: Uuid,
    /// The id of the request that made it: in every log line.
    pub request_id: Arc<str>,
    /// Whom it is for.
    pub plugin: PluginName,
    /// The image.
    pub payload: Payload,
    /// Its MIME type, lower case and without parameters; empty if the request gave none.
    pub mime_type: String,
    /// The options, a JSON text; `None` for none.
    pub options: Option<Box<RawValue>>,
    cancelled: AtomicBool,
    gone: Notify,
    progress: AtomicU32,
    generation: OnceLock<Digest>,
}

impl Call {
    /// A call that has not begun.
    pub fn new(plugin: PluginName, payload: Payload, mime_type: String) -> Self {
        Self {
            // Without the counter that `now_v7` keeps behind a lock: all calls would meet there.
            id: Uuid::new_v7(Timestamp::now(NoContext)),
            request_id: Arc::clone(&NO_REQUEST),
            plugin,
            payload,
            mime_type,
            options: None,
            cancelled: AtomicBool::new(false),
            gone: Notify::new(),
            progress: AtomicU32::new(0),
            generation: OnceLock::new(),
        }
    }

    /// The options as the plugin gets them.
    pub fn options_json(&self) -> &str {
        self.options.as_deref().map_or("{}", RawValue::get)
    }

    /// Tells its code, if it listens, that nobody waits any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.gone.notify_one();
    }

    /// Until nobody waits any more. For one listener: the call's own.
    pub async fn until_cancelled(&self) {
        while !self.is_cancelled() {
            self.gone.notified().await;
        }
    }

    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The flag that [`cancel`](Self::cancel) sets.
    pub fn cancelled(&self) -> &AtomicBool {
        &self.cancelled
    }

    /// Notes which build runs it. The first stands: a call ends in the generation it began in.
    pub fn set_generation(&self, generation: Digest) {
        let _ = self.generation.set(generation);
    }

    /// Which build has run it, once it came to that.
    pub fn generation(&self) -> Option<Digest> {
        self.generation.get().copied()
    }

    /// Notes the share that is done, 0 to 1; what a plugin says beyond that is not believed.
    pub fn set_progress(&self, fraction: f32) {
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        self.progress.store(fraction.to_bits(), Ordering::Relaxed);
    }

    /// The share that is done, 0 to 1.
    pub fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }
}

/// The id of calls that no request has made.
static NO_REQUEST: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// Where the bytes of an image are.
#[derive(Clone, Debug)]
pub enum Payload {
    /// In memory of the host's own.
    Heap(Bytes),
}

impl Payload {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
        }
    }
}

/// The right to run one call, which goes where the code goes and is given back when that ends.
pub struct Permit {
    /// Since when it counts.
    pub granted: Instant,
    /// When the answer is due.
    pub deadline: Instant,
    slots: Arc<dyn Slots>,
}

/// Places for calls that run at a time.
pub trait Slots: Send + Sync {
    /// Takes back the place of a call that has ended.
    fn give_back(&self);
}

impl Permit {
    /// A place that was just taken from `slots`.
    pub fn new(slots: Arc<dyn Slots>, granted: Instant, deadline: Instant) -> Self {
        Self {
            granted,
            deadline,
            slots,
        }
    }

    /// The time that is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slots.give_back();
    }
}

/// What a plugin gave, unchecked.
pub type Outcome = Result<RawOutput, CallError>;

/// An answer that nobody has looked at.
#[derive(Debug)]
pub struct RawOutput {
    /// What the plugin says is a JSON object.
    pub json: Bytes,
    /// Binary data beside it.
    pub attachments: Vec<Attachment>,
}

/// Binary data beside an answer.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// A file name.
    pub name: String,
    /// The MIME type of `data`.
    pub mime_type: String,
    /// The bytes.
    pub data: Bytes,
}

/// A place where a plugin's code runs.
pub trait Lane: Send + Sync {
    /// Enters the plugin, without any check. The [`Pass`] is the runner's own: nobody else can.
    fn enter_unguarded(&self, call: Arc<Call>, permit: Permit, pass: Pass) -> Entered;

    /// Whether the code runs before [`enter_unguarded`](Self::enter_unguarded) returns, so that no
    /// deadline can interrupt it.
    fn is_inline(&self) -> bool;

    /// Whether code goes on after its call was given up: true where it cannot be ended.
    fn outlives_deadline(&self) -> bool;

    /// Why no call can be carried out any more, if so.
    fn exhausted(&self) -> Option<String>;
}

/// A call that was carried out, or is being.
pub enum Entered {
    /// It is over.
    Done(Outcome),
    /// It runs. The future may be dropped at any time: the permit then stays with the code until
    /// that ends.
    Running(BoxFuture<'static, Outcome>),
}
