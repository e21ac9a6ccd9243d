//! The one place where everything that happens is told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use chrono::Utc;
use tokio::sync::watch;

use super::event::Event;
use super::id::Cursor;
use super::kind::Kind;
use super::ring::{Batch, Ring};

/// The event log of one start of the host. Any number of tasks and threads tell and read at the same time.
pub struct EventLog {
    // Changing the value is what wakes those who wait: no event comes between a look and a wait.
    ring: watch::Sender<Ring>,
    told: [AtomicU64; Kind::ALL.len()],
}

impl EventLog {
    /// The log of a host that starts now.
    pub fn starting() -> Self {
        Self::of_boot(Utc::now().timestamp_millis().unsigned_abs())
    }

    /// A log whose events are told apart from those of other starts by `boot`.
    pub(crate) fn of_boot(boot: u64) -> Self {
        Self {
            ring: watch::Sender::new(Ring::new(boot)),
            told: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Keeps an event for those who read, and writes its line of the log. Waits for nobody.
    pub fn tell(&self, event: Event) {
        self.told[event.kind as usize].fetch_add(1, Relaxed);
        let (event, mut told) = (event.bounded(), None);
        self.ring.send_modify(|ring| told = Some(ring.push(event)));
        // Not while others wait for the ring: what takes the lines may be slow.
        if let Some(told) = told {
            told.log();
        }
    }

    /// How often each kind was told.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> {
        let counts = self.told.iter().map(|told| told.load(Relaxed));
        Kind::ALL.iter().copied().zip(counts)
    }

    /// Where a reader stands to whom only the future matters.
    pub fn end(&self) -> Cursor {
        self.ring.borrow().end()
    }

    /// What comes next for a reader who stands at `cursor`. Does not wait: there may be nothing yet.
    pub fn after(&self, cursor: Cursor) -> Batch {
        self.ring.borrow().after(cursor)
    }

    /// Until there is something to say to a reader who stands at `cursor`.
    pub async fn more(&self, cursor: Cursor) {
        let mut ring = self.ring.subscribe();
        // The sender is `self`, so that this ends with news only.
        let _ = ring.wait_for(|ring| ring.has_after(cursor)).await;
    }
}
