//! What a lane is to the rest of the host: where a plugin's code runs. Knows no lane in particular.

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

    /// What the lane has at work, for the plugin's status: a JSON object.
    fn workers(&self) -> Option<Value> {
        None
    }
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

/// A call that was carried out, or is being.
pub enum Entered {
    /// It is over.
    Done(Outcome),
    /// It runs. The future may be dropped at any time: the permit then stays with the code until
    /// that ends.
    Running(BoxFuture<'static, Outcome>),
}
