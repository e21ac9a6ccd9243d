//! One worker: a process with a plugin in it. Knows how it ends, and of calls only that their memory
//! must outlast it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::host::Owned;
use super::output::Printed;
use super::start::Plan;
use crate::call::{Call, Listener, News};
use crate::loader::Symbols;
use crate::platform::{Process, ReplyMemory};

/// How long a worker that is not needed any more has to end by itself.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A process with a plugin in it. Lives as long as one of its seats.
pub(super) struct Worker {
    process: Arc<Process>,
    pub(super) printed: Arc<Printed>,
    /// Where the names of its addresses are.
    pub(super) symbols: Symbols,
    /// The bytes of memory that it may have.
    pub(super) memory: u64,
    /// Its first page has the report of a crash.
    pub(super) report: Arc<ReplyMemory>,
    retired: AtomicBool,
    calls: AtomicU64,
    seats: usize,
    /// The seats that have not been given up yet.
    open: AtomicUsize,
    /// The seat for whose sake the host has killed it, plus one.
    killed_for: AtomicU32,
    blamed: AtomicBool,
    overweight: AtomicBool,
    listener: Listener,
    /// Calls whose memory it may still read, although they are over.
    graves: Mutex<Vec<Arc<Call>>>,
}

impl Worker {
    pub(super) fn new(
        process: Owned,
        printed: Arc<Printed>,
        plan: &Plan,
        base: Option<u64>,
        report: Arc<ReplyMemory>,
    ) -> Arc<Self> {
        Arc::new(Self {
            // From here on it ends with its last seat.
            process: process.release(),
            printed,
            symbols: Symbols::new(plan.library.clone(), base),
            memory: plan.confinement.memory,
            report,
            retired: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            seats: plan.seats,
            open: AtomicUsize::new(plan.seats),
            killed_for: AtomicU32::new(0),
            blamed: AtomicBool::new(false),
            overweight: AtomicBool::new(false),
            listener: plan.listener.clone(),
            graves: Mutex::default(),
        })
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Counts a call, and gives how many there were.
    pub(super) fn count_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// It gets no more calls.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether it may get calls.
    pub(super) fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Acquire) && self.process.exit().is_none()
    }

    /// Ends it now, for the sake of the call in `seat`.
    pub(super) fn kill_for(&self, seat: usize) {
        let seat = u32::try_from(seat).unwrap_or(u32::MAX - 1) + 1;
        let relaxed = Ordering::Relaxed;
        let _ = self.killed_for.compare_exchange(0, seat, relaxed, relaxed);
        self.retire();
        self.process.kill();
    }

    /// Ends it if it holds more memory than it may: there are ways round the system's own limit.
    pub(super) fn end_if_overweight(&self) {
        let private = self.process.private_memory().unwrap_or_default();
        if private > self.memory.saturating_add(self.memory / 8) {
            self.overweight.store(true, Ordering::Relaxed);
            self.finish_off();
        }
    }

    /// Whether that was its end.
    pub(super) fn was_overweight(&self) -> bool {
        self.overweight.load(Ordering::Relaxed)
    }

    /// Ends what is left of it. For no call's sake: it was dying.
    pub(super) fn finish_off(&self) {
        self.retire();
        self.process.kill();
    }

    /// Whether nobody has been blamed for its end yet; asks once. One death is one crash, however
    /// many calls it takes along.
    pub(super) fn is_first_to_blame(&self) -> bool {
        !self.blamed.swap(true, Ordering::Relaxed)
    }

    /// The seat for whose sake it was killed.
    pub(super) fn killed_for(&self) -> Option<usize> {
        let seat = self.killed_for.load(Ordering::Relaxed);
        seat.checked_sub(1).map(|seat| seat as usize)
    }

    /// Whether `told` is a seat beside `seat`. What a plugin has written may name one that there is not.
    pub(super) fn is_sibling(&self, told: u32, seat: usize) -> bool {
        let told = told as usize;
        told < self.seats && told != seat
    }

    /// Holds the memory of a call that is over until nobody can read it any more.
    pub(super) fn bury(&self, call: Arc<Call>) {
        let mut graves = self.graves.lock().unwrap_or_else(PoisonError::into_inner);
        graves.push(call);
    }

    /// After the last seat has gone it ends by itself, or is ended.
    pub(super) fn seat_left(self: &Arc<Self>) {
        if self.open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        self.retire();
        let worker = Arc::clone(self);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { worker.end().await })),
            Err(_) => self.process.kill(),
        }
    }

    async fn end(&self) {
        if tokio::time::timeout(END_WITHIN, self.process.ended())
            .await
            .is_err()
        {
            self.process.kill();
            self.listener.tell(News::ForcedKill);
            self.process.ended().await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Worker").field(&self.process.id()).finish()
    }
}
