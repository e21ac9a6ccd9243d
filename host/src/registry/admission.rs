//! How many calls of a plugin run at a time, and how many may wait.
//!
//! A free place costs two atomic operations, and no lock: only calls that have to wait meet in one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::call::{Permit, Slots};
use crate::error::CallError;

/// When a caller that was turned away should come back. A guess: the queue moves with every answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Admission {
    concurrency: usize,
    queue: usize,
    running: AtomicUsize,
    queued: AtomicUsize,
    freed: Notify,
}

impl Admission {
    pub(super) fn new(concurrency: usize, queue: usize) -> Self {
        let (running, queued) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self {
            concurrency,
            queue,
            running,
            queued,
            freed: Notify::new(),
        }
    }

    /// A place for a call that comes in `now` and must be answered within `limit`.
    pub(super) async fn admit(
        self: &Arc<Self>,
        now: Instant,
        limit: Duration,
    ) -> Result<Permit, CallError> {
        let deadline = now + limit;
        // Whoever waits already comes first.
        if self.queued() == 0 && self.take() {
            return Ok(self.permit(now, deadline, limit));
        }
        let _place = self.queue_up()?;
        let turn = tokio::time::timeout_at(deadline.into(), self.wait()).await;
        let timed_out = CallError::TimedOut {
            deadline: limit,
            still_running: false,
        };
        turn.map(|()| self.permit(Instant::now(), deadline, limit))
            .map_err(|_| timed_out)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.running.load(SeqCst)
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(SeqCst)
    }

    fn permit(self: &Arc<Self>, granted: Instant, deadline: Instant, limit: Duration) -> Permit {
        let slots = Arc::clone(self) as Arc<dyn Slots>;
        Permit::new(slots, granted, deadline, limit)
    }

    fn take(&self) -> bool {
        let below = |running: usize| (running < self.concurrency).then_some(running + 1);
        self.running.fetch_update(SeqCst, SeqCst, below).is_ok()
    }

    /// Until a place is free, and taken. Those that wait are woken in the order of coming, but one that
    /// comes just then may be quicker.
    async fn wait(&self) {
        loop {
            // Listening begins before the look, so that no place that is freed in between is missed.
            let freed = self.freed.notified();
            if self.take() {
                return;
            }
            freed.await;
        }
    }

    fn queue_up(&self) -> Result<Place<'_>, CallError> {
        let room = |queued: usize| (queued < self.queue).then_some(queued + 1);
        let joined = self.queued.fetch_update(SeqCst, SeqCst, room);
        joined.map(|_| Place(self)).map_err(|queued| {
            let in_flight = self.in_flight();
            CallError::Overloaded {
                in_flight,
                queued,
                retry_after: RETRY_AFTER,
            }
        })
    }

    /// Wakes the next that waits, if any does.
    fn wake(&self) {
        if self.queued() > 0 {
            self.freed.notify_one();
        }
    }
}

impl Slots for Admission {
    fn give_back(&self) {
        self.running.fetch_sub(1, SeqCst);
        self.wake();
    }
}

/// A place in the queue, given back wherever the wait ends.
struct Place<'a>(&'a Admission);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, SeqCst);
        // A wake-up that came to one who has gone is passed on, and so is room for more than one.
        self.0.wake();
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
        let Err(refused) = admission.admit(Instant::now(), LONG).await else {
            panic!("it is full")
        };
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
        let admission = Arc::new(Admission::new(1, 1));
        let _running = admission.admit(Instant::now(), LONG).await.unwrap();
        let late = admission
            .admit(Instant::now(), Duration::from_millis(5))
            .await;
        assert!(matches!(
            late,
            Err(CallError::TimedOut {
                still_running: false,
                ..
            })
        ));
        assert_eq!(admission.queued(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_waits_for_ever_and_never_do_too_many_run() {
        let admission = Arc::new(Admission::new(2, 10_000));
        let most = Arc::new(AtomicUsize::new(0));
        let calls = (0..2_000).map(|_| {
            let (admission, most) = (Arc::clone(&admission), Arc::clone(&most));
            tokio::spawn(async move {
                let permit = admission.admit(Instant::now(), LONG).await.unwrap();
                most.fetch_max(admission.in_flight(), SeqCst);
                tokio::task::yield_now().await;
                drop(permit);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        assert_eq!((admission.in_flight(), admission.queued()), (0, 0));
        assert!(most.load(SeqCst) <= 2);
    }
}
