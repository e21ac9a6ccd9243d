//! As much of a store as telling needs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use crate::jobs::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostSeen, JobStore, Listing,
    NewJob, Notice, Reclaim, Record, Renewal, Reply, Retried, Status, StoreError, StoredError,
    Time,
};
use crate::names::{Digest, PluginName};

/// Keeps jobs whose ends are to be told, in memory.
pub(super) struct Double {
    jobs: Mutex<Vec<Record>>,
    ahead: Mutex<TimeDelta>,
    /// How many more claims and notes fail.
    pub(super) claims_fail: AtomicU32,
    pub(super) notes_fail: AtomicU32,
    ends: mpsc::UnboundedSender<CallbackEnd>,
}

impl Double {
    pub(super) fn new(jobs: Vec<Record>) -> (Self, mpsc::UnboundedReceiver<CallbackEnd>) {
        let (ends, noted) = mpsc::unbounded_channel();
        let double = Self {
            jobs: Mutex::new(jobs),
            ahead: Mutex::default(),
            claims_fail: AtomicU32::new(0),
            notes_fail: AtomicU32::new(0),
            ends,
        };
        (double, noted)
    }

    /// Lets so much time pass, for the store.
    pub(super) fn pass(&self, time: TimeDelta) {
        *self.ahead.lock().unwrap() += time;
    }

    fn now(&self) -> Time {
        Utc::now() + *self.ahead.lock().unwrap()
    }
}

fn fails(left: &AtomicU32) -> bool {
    let one_less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}

fn unreachable<T: Send + 'static>() -> Reply<'static, T> {
    let error = StoreError::Unreachable("on purpose".to_owned());
    ready(Err(error)).boxed()
}

/// What telling never asks for.
fn never<T>() -> Reply<'static, T> {
    panic!("callbacks need no such thing")
}

impl JobStore for Double {
    fn time(&self) -> Reply<'_, Time> {
        ready(Ok(self.now())).boxed()
    }

    fn due_callbacks(&self, now: Time, until: Time, most: u32) -> Reply<'_, Vec<Record>> {
        if fails(&self.claims_fail) {
            return unreachable();
        }
        let mut claimed = Vec::new();
        for record in self.jobs.lock().unwrap().iter_mut() {
            let callback = record.callback.as_mut().unwrap();
            if callback.due.is_some_and(|due| due <= now) && claimed.len() < most as usize {
                callback.due = Some(until);
                callback.attempts += 1;
                claimed.push(record.clone());
            }
        }
        ready(Ok(claimed)).boxed()
    }

    fn end_callback(&self, end: CallbackEnd) -> Reply<'_, ()> {
        if fails(&self.notes_fail) {
            return unreachable();
        }
        let mut jobs = self.jobs.lock().unwrap();
        let record = jobs.iter_mut().find(|record| record.id == end.job).unwrap();
        let callback = record.callback.as_mut().unwrap();
        callback.due = end.due;
        callback.delivered_at = end.delivered_at;
        callback.error.clone_from(&end.error);
        let _ = self.ends.send(end);
        ready(Ok(())).boxed()
    }

    fn since(&self) -> Time {
        Time::UNIX_EPOCH
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        broadcast::channel(1).1
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        pending().boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    fn add(&self, _: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        never()
    }

    fn note(&self, _: Vec<Record>) -> Reply<'_, ()> {
        never()
    }

    fn claim(&self, _: Claim) -> Reply<'_, Vec<Record>> {
        never()
    }

    fn renew(&self, _: Vec<Renewal>, _: Time) -> Reply<'_, Vec<Held>> {
        never()
    }

    fn finish(&self, _: End) -> Reply<'_, bool> {
        never()
    }

    fn hand_back(&self, _: HandBack) -> Reply<'_, bool> {
        never()
    }

    fn reclaim(&self, _: Reclaim, _: StoredError, _: Time) -> Reply<'_, u64> {
        never()
    }

    fn cancel(&self, _: Uuid, _: Option<String>, _: StoredError, _: Time) -> Reply<'_, Cancelled> {
        never()
    }

    fn fail_pending(&self, _: Uuid, _: StoredError, _: Time) -> Reply<'_, bool> {
        never()
    }

    fn retry(&self, _: Uuid, _: Option<String>, _: Time) -> Reply<'_, Retried> {
        never()
    }

    fn get(&self, _: Uuid, _: Option<String>) -> Reply<'_, Option<Record>> {
        never()
    }

    fn list(&self, _: Listing) -> Reply<'_, Vec<Record>> {
        never()
    }

    fn count(&self) -> Reply<'_, Vec<(Status, u64)>> {
        never()
    }

    fn waiting_without(&self, _: Vec<PluginName>, _: Time, _: u32) -> Reply<'_, Vec<Record>> {
        never()
    }

    fn next_due(&self, _: Vec<PluginName>) -> Reply<'_, Option<Time>> {
        never()
    }

    fn heartbeat(&self, _: HostSeen, _: Time) -> Reply<'_, Vec<HostSeen>> {
        never()
    }

    fn forget(&self, _: Forget) -> Reply<'_, u64> {
        never()
    }

    fn unused(&self, _: Vec<Digest>) -> Reply<'_, Vec<Digest>> {
        never()
    }

    fn put_data(&self, _: Digest, _: Bytes, _: Time) -> Reply<'_, ()> {
        never()
    }

    fn data(&self, _: Digest) -> Reply<'_, Option<Bytes>> {
        never()
    }

    fn forget_data(&self, _: Time) -> Reply<'_, u64> {
        never()
    }
}
