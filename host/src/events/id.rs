//! Where an event stands among all, and where a reader does.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest foreign text that is quoted, in characters.
const MAX_QUOTE: usize = 64;

/// The id of an event: `BOOT-NUMBER`, as in `19a8c7d2f10-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Which start of the host it happened after; in hex.
    pub boot: u64,
    /// The how manieth it was, from 1; in decimal.
    pub number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.boot, self.number)
    }
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Not at all; `0` as text.
    Start,
    /// Up to this event, inclusive.
    After(EventId),
}

/// Text that is no id of an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no id of an event: expected one that came with an event, such as `19a8c7d2f10-17`, or `0` for all that are kept"
)]
pub struct BadCursor(String);

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        if text == "0" {
            return Ok(Self::Start);
        }
        let bad = || BadCursor(text.escape_default().take(MAX_QUOTE).collect());
        let id = parse(text).ok_or_else(bad)?;
        Ok(Self::After(id))
    }
}

fn parse(text: &str) -> Option<EventId> {
    let (boot, number) = text.split_once('-')?;
    let (boot, number) = (u64::from_str_radix(boot, 16).ok()?, number.parse().ok()?);
    let id = EventId { boot, number };
    // Signs, leading zeros and capitals were never ours.
    (id.to_string() == text).then_some(id)
}
