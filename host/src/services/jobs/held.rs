//! The jobs that this host has leased: which they are, and who wants them to end. Knows no store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::course::Course;
use crate::call::Call;
use crate::jobs::{Lease, Record};

/// Why a job is to end before it has come to its own end. The first wish stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Somebody has cancelled it.
    Cancel,
    /// The host stops: it is to run again, elsewhere or later.
    Stop,
    /// Its lease counts no more: another host may run it.
    Lost,
}

/// A job that is leased to this host.
pub(super) struct HeldJob {
    /// As it was claimed.
    pub(super) record: Record,
    /// What happens on its way.
    pub(super) course: Arc<Course>,
    call: OnceLock<Arc<Call>>,
    wish: AtomicU8,
    until: Mutex<Instant>,
}

impl HeldJob {
    /// The right to run it.
    pub(super) fn lease(&self) -> Lease {
        self.record.lease()
    }

    /// Why it is to end, if it is.
    pub(super) fn wish(&self) -> Option<Wish> {
        match self.wish.load(Ordering::SeqCst) {
            1 => Some(Wish::Cancel),
            2 => Some(Wish::Stop),
            3 => Some(Wish::Lost),
            _ => None,
        }
    }

    /// Has it end.
    pub(super) fn end(&self, wish: Wish) {
        let number = match wish {
            Wish::Cancel => 1,
            Wish::Stop => 2,
            Wish::Lost => 3,
        };
        let first = self
            .wish
            .compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok()
            && let Some(call) = self.call.get()
        {
            call.cancel();
        }
    }

    /// Notes the call that runs it, which hears of a wish that was there before.
    pub(super) fn set_call(&self, call: &Arc<Call>) {
        let _ = self.call.set(Arc::clone(call));
        if self.wish().is_some() {
            call.cancel();
        }
    }

    /// The share that is done.
    pub(super) fn progress(&self) -> f32 {
        self.call.get().map_or(0.0, |call| call.progress())
    }

    /// The build that runs it, once one does.
    pub(super) fn generation(&self) -> Option<String> {
        let digest = self.call.get().and_then(|call| call.generation());
        digest.map(|digest| digest.short())
    }

    /// The id of the trace that its run is a part of, once it runs.
    pub(super) fn trace_id(&self) -> Option<Arc<str>> {
        self.call.get().and_then(|call| call.trace_id())
    }

    /// Until when its lease counts.
    pub(super) fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that its lease was prolonged.
    pub(super) fn prolong(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// All of them, by id.
#[derive(Default)]
pub(super) struct HeldJobs(Mutex<HashMap<Uuid, Arc<HeldJob>>>);

impl HeldJobs {
    /// Notes a job that was claimed, leased until then.
    pub(super) fn insert(&self, record: Record, until: Instant) -> Arc<HeldJob> {
        let course = Arc::new(Course::of(&record));
        let held = Arc::new(HeldJob {
            record,
            course,
            call: OnceLock::new(),
            wish: AtomicU8::new(0),
            until: Mutex::new(until),
        });
        self.lock().insert(held.record.id, Arc::clone(&held));
        held
    }

    /// The job of this id, if this host has it.
    pub(super) fn find(&self, id: Uuid) -> Option<Arc<HeldJob>> {
        self.lock().get(&id).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<HeldJob>> {
        self.lock().values().cloned().collect()
    }

    /// Forgets a job that this host has no more, unless it has claimed it anew.
    pub(super) fn remove(&self, gone: &Arc<HeldJob>) {
        let mut jobs = self.lock();
        let id = gone.record.id;
        if jobs.get(&id).is_some_and(|held| Arc::ptr_eq(held, gone)) {
            jobs.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<HeldJob>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
