//! The calls of a plugin that wait for a place, whichever generation will have one: a swap moves none of them and
//! turns none away.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::CallError;

/// When a caller that was turned away should come back. A guess: the queue moves with every answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many wait, and how they hear of a free place. Taking a place that is free costs no look in here but one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    freed: Notify,
    emptied: Notify,
}

impl Queue {
    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Joins those that wait, unless `most` do already; who is turned away hears how many are `in_flight`.
    pub(super) fn join(
        &self,
        most: usize,
        in_flight: impl FnOnce() -> usize,
    ) -> Result<Place<'_>, CallError> {
        let room = |waiting: usize| (waiting < most).then_some(waiting + 1);
        let joined = self.waiting.fetch_update(SeqCst, SeqCst, room);
        joined
            .map(|_| Place(self))
            .map_err(|queued| CallError::Overloaded {
                in_flight: in_flight(),
                queued,
                retry_after: RETRY_AFTER,
            })
    }

    /// Until a place is free; what comes after this was called is not missed.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Wakes the next that waits, if any does.
    pub(super) fn wake(&self) {
        if self.waiting() > 0 {
            self.freed.notify_one();
        }
    }

    /// Wakes all that wait: there are other places than before.
    pub(super) fn wake_all(&self) {
        self.freed.notify_waiters();
    }

    /// Until nobody waits.
    pub(super) async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.waiting() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// A place in the queue, given back wherever the wait ends.
pub(super) struct Place<'a>(&'a Queue);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, SeqCst) == 1 {
            self.0.emptied.notify_waiters();
        }
        // A wake-up that came to one who has gone is passed on, and so is room for more than one.
        self.0.wake();
    }
}
