//! The events that are kept: the latest, within bounds of number and of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::Utc;

use super::event::{Event, Told};
use super::id::{Cursor, EventId};

/// The most events that are kept.
pub(super) const MAX_EVENTS: usize = 4096;
/// About the most bytes that they hold.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// The most events of a batch: what a reader that has come to a stop keeps from being forgotten.
pub(super) const BATCH: usize = 16;

/// Events in their order, and whether some before them are lost.
#[derive(Debug)]
pub struct Batch {
    /// The events, at most 16; none where there are no more yet.
    pub events: Vec<Arc<Told>>,
    /// Whether there were others that the reader has not seen and cannot see any more.
    pub missed: bool,
    /// Where a reader stands before the first of them.
    pub before: Cursor,
    /// Where a reader stands after the last of them.
    pub next: Cursor,
}

/// The latest events of one start of the host.
pub(super) struct Ring {
    boot: u64,
    last: u64,
    events: VecDeque<Arc<Told>>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(boot: u64) -> Self {
        Self {
            boot,
            last: 0,
            events: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Numbers an event, and forgets the oldest for it where there is no room.
    pub(super) fn push(&mut self, event: Event) -> Arc<Told> {
        self.last += 1;
        let told = Arc::new(Told {
            id: self.id(self.last),
            time: Utc::now(),
            event,
        });
        self.bytes += told.weight();
        self.events.push_back(Arc::clone(&told));
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.weight();
        }
        told
    }

    /// Where a reader stands who has read all.
    pub(super) fn end(&self) -> Cursor {
        self.cursor(self.last)
    }

    /// Whether there is anything to say to a reader who stands there.
    pub(super) fn has_after(&self, cursor: Cursor) -> bool {
        match cursor {
            Cursor::Start => !self.events.is_empty(),
            Cursor::After(_) => cursor != self.end(),
        }
    }

    /// What comes next for a reader who stands there.
    pub(super) fn after(&self, cursor: Cursor) -> Batch {
        let kept = self.events.len();
        let forgotten = self.last - kept as u64;
        let (read, missed) = match cursor {
            Cursor::Start => (forgotten, false),
            Cursor::After(id) if id.boot != self.boot => (forgotten, true),
            // What was never told is of a past that this host does not know.
            Cursor::After(id) if !(forgotten..=self.last).contains(&id.number) => (forgotten, true),
            Cursor::After(id) => (id.number, false),
        };
        let first = usize::try_from(read - forgotten).unwrap_or(kept);
        let events = self.events.range(first..kept.min(first + BATCH));
        let events: Vec<_> = events.cloned().collect();
        Batch {
            missed,
            before: self.cursor(read),
            next: self.cursor(read + events.len() as u64),
            events,
        }
    }

    fn cursor(&self, number: u64) -> Cursor {
        Cursor::After(self.id(number))
    }

    fn id(&self, number: u64) -> EventId {
        EventId {
            boot: self.boot,
            number,
        }
    }
}
