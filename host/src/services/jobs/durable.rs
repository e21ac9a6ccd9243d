//! What everybody shares who works on jobs that were submitted. Owns no behaviour but small steps that all take.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;
use uuid::Uuid;

use super::behind::Behind;
use super::clock::Clock;
use super::desks::Desks;
use super::held::HeldJobs;
use super::payloads::Payloads;
use super::tell::CallLog;
use super::traces::JobTraces;
use super::watch::{Counted, Ended};
use crate::config::Config;
use crate::error::CallError;
use crate::events::EventLog;
use crate::jobs::{HostId, PayloadError, SharedStore, StoreError};
use crate::names::PluginName;
use crate::services::PluginManagementService;
use crate::services::callbacks::Callbacks;

/// Everything that jobs need to be kept and run.
pub(super) struct Durable {
    pub(super) store: SharedStore,
    pub(super) payloads: Payloads,
    /// Whether payloads that no job needs are removed beside the store.
    pub(super) sweeps: bool,
    pub(super) clock: Clock,
    pub(super) host: HostId,
    pub(super) plugins: Arc<PluginManagementService>,
    pub(super) running: Arc<ArcSwap<Config>>,
    pub(super) events: Arc<EventLog>,
    pub(super) callbacks: Callbacks,
    pub(super) log: Arc<CallLog>,
    pub(super) traces: JobTraces,
    pub(super) behind: Arc<Behind>,
    pub(super) desks: Desks,
    pub(super) held: HeldJobs,
    pub(super) endings: Endings,
    /// Jobs that this host has ended.
    pub(super) ended: Ended,
    /// How many jobs there are.
    pub(super) counted: Counted,
    /// Whether what comes of jobs cannot be kept now.
    pub(super) is_troubled: AtomicBool,
    /// The plugins that hosts serve which share the store, this one included.
    pub(super) served: ArcSwap<BTreeSet<PluginName>>,
    /// Rings when this host serves other plugins than before.
    pub(super) plugins_changed: Arc<Notify>,
    /// Jobs that run here.
    pub(super) tasks: TaskTracker,
    /// What goes on beside them.
    pub(super) beside: TaskTracker,
    /// Cancelled when no more jobs are to begin.
    pub(super) stop: CancellationToken,
    /// Cancelled when no job runs any more.
    pub(super) over: CancellationToken,
}

impl Durable {
    /// For how long a job is leased at a time.
    pub(super) fn lease(&self) -> Duration {
        self.running.load().jobs.lease.duration()
    }
}

/// Wakes those who wait for the end of a job.
#[derive(Default)]
pub(super) struct Endings(Mutex<HashMap<Uuid, Waiters>>);

/// Who waits for one job; the value counts the news.
struct Waiters {
    news: watch::Sender<u64>,
    count: usize,
}

/// Somebody who waits for one job.
pub(super) struct Waiter<'a> {
    endings: &'a Endings,
    id: Uuid,
    news: watch::Receiver<u64>,
}

impl Endings {
    /// Begins to wait: what is told from now on is not missed.
    pub(super) fn wait(&self, id: Uuid) -> Waiter<'_> {
        let mut waiting = self.lock();
        let waiters = waiting.entry(id).or_insert_with(|| Waiters {
            news: watch::Sender::new(0),
            count: 0,
        });
        waiters.count += 1;
        let news = waiters.news.subscribe();
        Waiter {
            endings: self,
            id,
            news,
        }
    }

    /// Says that there is news of a job.
    pub(super) fn tell(&self, id: Uuid) {
        if let Some(waiters) = self.lock().get(&id) {
            waiters.news.send_modify(|news| *news += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Waiters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Until there is news.
    pub(super) async fn news(&mut self) {
        // The sender stays as long as somebody waits.
        let _ = self.news.changed().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.endings.lock();
        if let Some(waiters) = waiting.get_mut(&self.id) {
            waiters.count -= 1;
            if waiters.count == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}

/// A store's error as a caller sees it. What only an operator can mend goes to the log besides.
pub(super) fn refused(error: StoreError) -> CallError {
    match error {
        StoreError::Full(problem) => CallError::StorageFull { problem },
        StoreError::Unreachable(problem) => CallError::StoreUnreachable {
            traceback: problem.into(),
        },
        other => {
            error!(error = %other, "the job store refused");
            CallError::internal(other.to_string())
        }
    }
}

/// The same of a payload store.
pub(super) fn not_kept(error: PayloadError) -> CallError {
    match error {
        PayloadError::Full(problem) => CallError::StorageFull { problem },
        other => {
            error!(error = %other, "the payload store refused");
            CallError::internal(other.to_string())
        }
    }
}
