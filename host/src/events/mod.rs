//! What happens to plugins and to the host: told once, it is a line of the log and an entry that clients can read, live
//! or later. Knows nothing of who tells it or who reads it.

mod event;
mod id;
mod kind;
mod log;
mod ring;

pub use event::{Event, Told};
pub use id::{BadCursor, Cursor, EventId};
pub use kind::Kind;
pub use log::EventLog;
pub use ring::Batch;

#[cfg(test)]
mod tests;
