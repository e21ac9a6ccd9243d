//! A call, and the [`Lane`] that can carry one out. Knows no plugin, no thread and no process.

mod lane;
mod payload;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::Notify;
use uuid::{NoContext, Timestamp, Uuid};

pub use lane::{Attachment, Crew, Entered, Exhausted, Lane, Listener, News, Outcome, RawOutput};
pub use payload::{HeapPlace, Kept, Payload, Place};

use crate::budget::Reservation;
use crate::names::{Digest, PluginName};
use crate::trace::Trace;

/// One execution of a plugin, from its request to its end.
#[derive(Debug)]
pub struct Call {
    /// Its id, which is the id of its job too.
    pub id: Uuid,
    /// The id of the request that made it: in every log line.
    pub request_id: Arc<str>,
    /// The trace that it is for, if there is one: its id is in every log line too.
    pub trace: Option<Trace>,
    /// Whom it is for.
    pub plugin: PluginName,
    /// The image.
    pub payload: Payload,
    /// Its MIME type, lower case and without parameters; empty if the request gave none.
    pub mime_type: String,
    /// The options, a JSON text; `None` for none.
    pub options: Option<Box<RawValue>>,
    /// Whose it is: the id of the token that it came with, if it came with one.
    pub owner: Option<Arc<str>>,
    /// How long the caller lets it take; the plugin's own deadline counts besides.
    pub deadline: Option<Duration>,
    /// Its share of the bytes that the host bears, given back when nobody holds the call any more.
    pub held: Option<Reservation>,
    /// Who hears what its plugin tells on its way, if anybody does.
    pub ear: Option<Arc<dyn Ear>>,
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
            trace: None,
            plugin,
            payload,
            mime_type,
            options: None,
            owner: None,
            deadline: None,
            held: None,
            ear: None,
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

    /// The id of its trace, as it stands in the log.
    pub fn trace_id(&self) -> Option<Arc<str>> {
        self.trace.as_ref().map(|trace| Arc::clone(trace.text()))
    }

    /// Notes the share that is done, 0 to 1; what a plugin says beyond that is not believed.
    pub fn set_progress(&self, fraction: f32) {
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        self.progress.store(fraction.to_bits(), Ordering::Relaxed);
        if let Some(ear) = &self.ear {
            ear.progress(fraction);
        }
    }

    /// The share that is done, 0 to 1.
    pub fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }
}

/// Whoever follows a call. Must not block: what a plugin tells comes between two steps of its work.
pub trait Ear: fmt::Debug + Send + Sync {
    /// So much is done, 0 to 1.
    fn progress(&self, fraction: f32);

    /// A line for the log, of a level such as `info`.
    fn line(&self, level: &'static str, message: &str);
}

/// The id of calls that no request has made.
static NO_REQUEST: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// The right to run one call, which goes where the code goes and is given back when that ends.
pub struct Permit {
    /// Since when it counts.
    pub granted: Instant,
    /// When the answer is due.
    pub deadline: Instant,
    /// How long the call had in all, its wait included.
    pub limit: Duration,
    slots: Arc<dyn Slots>,
}

/// Places for calls that run at a time.
pub trait Slots: Send + Sync {
    /// Takes back the place of a call that has ended.
    fn give_back(&self);
}

impl Permit {
    /// A place that was just taken from `slots`, for a call whose answer is due at `deadline`,
    /// `limit` after it came in.
    pub fn new(
        slots: Arc<dyn Slots>,
        granted: Instant,
        deadline: Instant,
        limit: Duration,
    ) -> Self {
        Self {
            granted,
            deadline,
            limit,
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
