//! A bounded set of threads for one plugin, started as calls need them. A call that is given up
//! leaves its thread busy until the plugin's code ends; when all are, the lane is exhausted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use super::run::Runnable;
use crate::call::{Call, Exhausted, Outcome, Permit};
use crate::error::CallError;

/// Decoders recurse; the main thread of a program has as much.
const STACK_BYTES: usize = 8 << 20;

pub(super) struct Threads {
    name: String,
    most: usize,
    started: AtomicUsize,
    // Never longer than `most`: every call in it holds a permit.
    tasks: Sender<Task>,
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Receiver<Task>,
    runnable: Runnable,
    // Threads that wait and that no call has claimed.
    idle: AtomicUsize,
    overdue: AtomicUsize,
}

struct Task {
    call: Arc<Call>,
    permit: Permit,
    reply: oneshot::Sender<Outcome>,
    state: Arc<AtomicU8>,
}

const RUNNING: u8 = 0;
const GIVEN_UP: u8 = 1;
const ENDED: u8 = 2;

impl Threads {
    pub(super) fn new(plugin: &str, most: usize, runnable: Runnable) -> Self {
        let (tasks, inbox) = unbounded();
        let (idle, overdue) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared {
            inbox,
            runnable,
            idle,
            overdue,
        });
        Self {
            name: format!("lane {plugin}"),
            most,
            started: AtomicUsize::new(0),
            tasks,
            shared,
        }
    }

    /// Hands a call to a thread and waits for what comes of it.
    pub(super) fn run(
        &self,
        call: Arc<Call>,
        permit: Permit,
    ) -> impl Future<Output = Outcome> + use<> {
        let (reply, answer) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(RUNNING));
        let task = Task {
            call,
            permit,
            reply,
            state: Arc::clone(&state),
        };
        let handed_over = self.ensure_thread().map(|()| self.tasks.send(task));
        // A call that no thread has been found for holds none up.
        let shared = Arc::clone(&self.shared);
        let watch = handed_over.is_ok().then(|| Watch { state, shared });
        async move {
            let _watch = watch;
            handed_over?.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        }
    }

    pub(super) fn exhausted(&self) -> Option<Exhausted> {
        let overdue = self.shared.overdue.load(Ordering::Relaxed);
        (overdue >= self.most).then(|| Exhausted {
            reason: format!(
                "quarantined: all {overdue} threads of the plugin are held by calls past their \
                 deadline; it serves again when one ends, else restart the host"
            ),
            retry_after: None,
        })
    }

    /// Claims an idle thread, or starts one.
    fn ensure_thread(&self) -> Result<(), CallError> {
        let relaxed = Ordering::Relaxed;
        let claim = |idle: usize| idle.checked_sub(1);
        if self
            .shared
            .idle
            .fetch_update(relaxed, relaxed, claim)
            .is_ok()
        {
            return Ok(());
        }
        let below = |started: usize| (started < self.most).then_some(started + 1);
        if self.started.fetch_update(relaxed, relaxed, below).is_err() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let builder = thread::Builder::new()
            .name(self.name.clone())
            .stack_size(STACK_BYTES);
        let spawned = builder.spawn(move || shared.work());
        spawned.map(drop).map_err(|error| {
            self.started.fetch_sub(1, relaxed);
            CallError::Unavailable {
                reason: format!("no_capacity: the system gives no thread: {error}"),
                retry_after: Some(std::time::Duration::from_secs(1)),
            }
        })
    }
}

impl Shared {
    /// Ends when the lane is dropped.
    fn work(&self) {
        while let Ok(task) = self.inbox.recv() {
            self.carry_out(task);
        }
    }

    fn carry_out(&self, task: Task) {
        let Task {
            call,
            permit,
            reply,
            state,
        } = task;
        // The plugin's panics end at its guard; one that arrives here is ours, and costs its call.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.runnable.run(&call, &permit)));
        // Before the permit goes: whoever gets it must find this thread idle.
        self.idle.fetch_add(1, Ordering::Relaxed);
        drop(permit);
        if state.swap(ENDED, Ordering::AcqRel) == GIVEN_UP {
            self.overdue.fetch_sub(1, Ordering::Relaxed);
        }
        let _ = reply.send(outcome.unwrap_or_else(|_| Err(gone())));
    }
}

/// Counts a call as overdue when it is given up before its code has ended.
struct Watch {
    state: Arc<AtomicU8>,
    shared: Arc<Shared>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Counted before it is said, so that the thread, which then counts it off, never comes first.
        self.shared.overdue.fetch_add(1, Ordering::Relaxed);
        let (acqrel, acquire) = (Ordering::AcqRel, Ordering::Acquire);
        if self
            .state
            .compare_exchange(RUNNING, GIVEN_UP, acqrel, acquire)
            .is_err()
        {
            self.shared.overdue.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn gone() -> CallError {
    CallError::internal("the lane's thread panicked in the host's own code".to_owned())
}
