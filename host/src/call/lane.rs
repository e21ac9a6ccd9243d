//! What a lane is to the rest of the host: where a plugin's code runs. Knows no lane in particular.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Call, Permit, Place};
use crate::error::CallError;
// The one arrow that points up: the key to the door hangs where the door is kept.
use crate::runner::Pass;

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

    /// How much longer than its deadline a call may take, because the lane itself ends the code
    /// then and answers. Zero where it cannot.
    fn grace(&self) -> Duration {
        Duration::ZERO
    }

    /// Why no call can be carried out now, if so.
    fn exhausted(&self) -> Option<Exhausted> {
        None
    }

    /// A place for an image of `bytes` bytes, where the lane has memory that saves a copy.
    fn place(&self, bytes: usize) -> Option<Box<dyn Place>> {
        let _ = bytes;
        None
    }

    /// An operator lets a plugin that is held back for its crashes try again.
    fn lift(&self) {}

    /// How many workers it has at work.
    fn alive(&self) -> usize {
        0
    }

    /// Sees to it that `workers` are at work, or as many as it may have, before the first call comes.
    ///
    /// # Errors
    /// When one cannot be started.
    fn warm(&self, workers: usize) -> BoxFuture<'static, Result<(), Exhausted>> {
        let _ = workers;
        Box::pin(std::future::ready(Ok(())))
    }

    /// No more calls will come: what waits for some is let go.
    fn wind_down(&self) {}

    /// How many workers it has, and what they take; nothing where it has none of its own.
    fn crew(&self) -> Option<Crew> {
        None
    }

    /// What the lane has at work, for the plugin's status: a JSON object.
    fn workers(&self) -> Option<Value> {
        None
    }
}

/// The workers of a plugin, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crew {
    /// With a call.
    pub busy: usize,
    /// Without one.
    pub idle: usize,
    /// Not there yet.
    pub starting: usize,
    /// Started so far.
    pub started: u64,
    /// Ended so far, by themselves or by the host, while they had a call.
    pub killed: u64,
    /// The bytes of memory that they share with nobody.
    pub memory: u64,
}

/// Why a lane carries out no call for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// What was found, and what to do.
    pub reason: String,
    /// When it will be tried again, if that is known.
    pub retry_after: Option<Duration>,
}

impl From<Exhausted> for CallError {
    fn from(exhausted: Exhausted) -> Self {
        let Exhausted {
            reason,
            retry_after,
        } = exhausted;
        Self::Unavailable {
            reason,
            retry_after,
        }
    }
}

/// What a lane tells of a plugin, beside what comes of its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It has crashed too often, and is held back.
    Quarantined {
        /// How often, in the last minute.
        crashes: u32,
        /// For how long.
        delay: Duration,
        /// What it died of.
        last_crash: String,
    },
    /// It is not held back any more.
    Released {
        /// Whose doing that was.
        why: &'static str,
    },
    /// A worker had to be ended that was to end by itself.
    ForcedKill,
}

/// Whoever wants to know.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(News) + Send + Sync>);

impl Listener {
    /// Hands news to `hear`, which must not block.
    pub fn new(hear: impl Fn(News) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Nobody does.
    pub fn nobody() -> Self {
        Self::new(|_| {})
    }

    /// Tells it.
    pub fn tell(&self, news: News) {
        (self.0)(news);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// A call that was carried out, or is being.
pub enum Entered {
    /// It is over.
    Done(Outcome),
    /// It runs. The future may be dropped at any time: the permit then stays with the code until
    /// that ends.
    Running(BoxFuture<'static, Outcome>),
}
