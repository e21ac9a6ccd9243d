//! How many calls of a plugin run at a time, and how many may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::call::Permit;
use crate::error::CallError;

/// When a caller that was turned away should come back. A guess: the queue moves with every answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Admission {
    slots: Arc<Semaphore>,
    concurrency: usize,
    queue: usize,
    queued: AtomicUsize,
}

impl Admission {
    pub(super) fn new(concurrency: usize, queue: usize) -> Self {
        let slots = Arc::new(Semaphore::new(concurrency));
        Self {
            slots,
            concurrency,
            queue,
            queued: AtomicUsize::new(0),
        }
    }

    pub(super) async fn admit(&self, now: Instant, limit: Duration) -> Result<Permit, CallError> {
        let deadline = now + limit;
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Permit { slot, deadline });
        }
        let _place = self.queue_up()?;
        let turn = tokio::time::timeout_at(deadline.into(), self.take_slot());
        let timed_out = CallError::TimedOut {
            deadline: limit,
            still_running: false,
        };
        turn.await
            .map(|slot| Permit { slot, deadline })
            .map_err(|_| timed_out)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.concurrency - self.slots.available_permits().min(self.concurrency)
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    async fn take_slot(&self) -> OwnedSemaphorePermit {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.expect("nobody closes the semaphore of a plugin")
    }

    fn queue_up(&self) -> Result<Place<'_>, CallError> {
        let place = Place(&self.queued);
        let ahead = self.queued.fetch_add(1, Ordering::Relaxed);
        if ahead < self.queue {
            return Ok(place);
        }
        let in_flight = self.in_flight();
        Err(CallError::Overloaded {
            in_flight,
            queued: ahead,
            retry_after: RETRY_AFTER,
        })
    }
}

/// A place in the queue, given back wherever the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn beyond_slots_and_queue_a_call_is_turned_away() {
        let admission = Arc::new(Admission::new(1, 1));
        let running = admission.admit(Instant::now(), LONG).await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.admit(Instant::now(), LONG).await.map(drop) }
        });
        while admission.queued() == 0 {
            tokio::task::yield_now().await;
        }
        let refused = admission.admit(Instant::now(), LONG).await.unwrap_err();
        assert!(matches!(
            refused,
            CallError::Overloaded {
                in_flight: 1,
                queued: 1,
                ..
            }
        ));
        drop(running);
        waiting.await.unwrap().unwrap();
        assert_eq!((admission.in_flight(), admission.queued()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_times_out() {
        let admission = Admission::new(1, 1);
        let _running = admission.admit(Instant::now(), LONG).await.unwrap();
        let late = admission
            .admit(Instant::now(), Duration::from_millis(5))
            .await
            .unwrap_err();
        assert!(matches!(
            late,
            CallError::TimedOut {
                still_running: false,
                ..
            }
        ));
        assert_eq!(admission.queued(), 0);
    }
}
