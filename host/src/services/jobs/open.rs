//! Begins and ends the keeping of jobs: what goes on beside them starts here, and stops here.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::JobManagementService;
use super::behind;
use super::clock::Clock;
use super::desks::Desks;
use super::dispatch::{abandon, dispatch};
use super::durable::{Durable, Endings};
use super::held::{HeldJobs, Wish};
use super::keep::{self, Every};
use super::payloads::Payloads;
use super::traces::JobTraces;
use super::watch::{Counted, Ended};
use crate::config::Config;
use crate::events::EventLog;
use crate::jobs::{HostId, PayloadStore, Reclaim, SharedStore, StoreError};
use crate::services::callbacks;
use crate::trace::Tracer;

/// How long jobs that were told to end may take.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// What it takes to keep jobs.
pub struct Keeping {
    /// Where their records are.
    pub store: SharedStore,
    /// Where large payloads are; `None` for the store itself.
    pub payloads: Option<Arc<dyn PayloadStore>>,
    /// Whether payloads that no job needs are removed there.
    pub sweeps: bool,
    /// Who this host is among those that share the store.
    pub host: HostId,
    /// The settings as they are.
    pub running: Arc<ArcSwap<Config>>,
    /// Where what happens is told.
    pub events: Arc<EventLog>,
    /// Where the traces of runs begin.
    pub tracer: Tracer,
}

impl JobManagementService {
    /// Keeps jobs from now on, and runs those that wait. What this host had leased when it last ended waits again.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn keep(&self, keeping: Keeping) -> Result<(), StoreError> {
        let Keeping {
            store,
            payloads,
            sweeps,
            host,
            running,
            events,
            tracer,
        } = keeping;
        let (over, stop) = (CancellationToken::new(), CancellationToken::new());
        let beside = TaskTracker::new();
        let callbacks = callbacks::start(
            Arc::clone(&store),
            Arc::clone(&running),
            &beside,
            over.clone(),
        );
        let durable = Arc::new(Durable {
            payloads: Payloads::new(Arc::clone(&store), payloads),
            clock: Clock::at(store.time().await?),
            store,
            sweeps,
            host,
            plugins: Arc::clone(&self.plugins),
            running,
            events,
            callbacks,
            log: Arc::clone(&self.log),
            traces: JobTraces::new(tracer),
            behind: Arc::clone(&self.behind),
            desks: Desks::default(),
            held: HeldJobs::default(),
            endings: Endings::default(),
            ended: Ended::default(),
            counted: Counted::default(),
            is_troubled: AtomicBool::new(false),
            served: ArcSwap::default(),
            plugins_changed: Arc::default(),
            tasks: TaskTracker::new(),
            beside,
            stop,
            over,
        });
        keep::reclaim(&durable, Reclaim::Of(host)).await?;
        keep::heartbeat(&durable).await?;
        if self.durable.set(Arc::clone(&durable)).is_ok() {
            begin(&durable);
        }
        Ok(())
    }

    /// Until the store cannot be trusted any more, with the reason; never where no jobs are kept.
    pub async fn store_failed(&self) -> String {
        match self.durable.get() {
            Some(durable) => durable.store.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Begins no more jobs: those that wait here for their turn wait in the store again.
    pub fn stop(&self) {
        let Some(durable) = self.durable.get() else {
            return;
        };
        durable.stop.cancel();
        abandon(durable);
    }

    /// Lets jobs that run come to their end within `limit`, hands back those that do not, and closes the store.
    pub async fn close(&self, limit: Duration) {
        let Some(durable) = self.durable.get() else {
            return;
        };
        self.stop();
        durable.tasks.close();
        if tokio::time::timeout(limit, durable.tasks.wait())
            .await
            .is_err()
        {
            let running = durable.held.all();
            info!(jobs = running.len(), "jobs that still run are handed back");
            running.iter().for_each(|job| job.end(Wish::Stop));
            if tokio::time::timeout(ENDED_WITHIN, durable.tasks.wait())
                .await
                .is_err()
            {
                warn!("jobs did not end in time: they run again");
            }
        }
        durable.over.cancel();
        durable.beside.close();
        let _ = tokio::time::timeout(ENDED_WITHIN, durable.beside.wait()).await;
        durable.store.close().await;
    }
}

/// Something that is done over and over.
pub(super) type Step = for<'a> fn(&'a Durable) -> BoxFuture<'a, Result<(), StoreError>>;

/// Starts all that goes on beside the jobs.
fn begin(durable: &Arc<Durable>) {
    let beside = &durable.beside;
    beside.spawn(dispatch(Arc::clone(durable)));
    beside.spawn(keep::listen(Arc::clone(durable)));
    let config = durable.running.load();
    let third = durable.lease() / 3;
    let patience = config.jobs.patience.duration() / 4;
    let old = config.jobs.retention.age.duration() / 10;
    let unneeded = config.jobs.retention.payloads.duration() / 2;
    let steps: [(&str, Duration, Step); 7] = [
        ("keeping analyses for a later look", behind::EVERY, |it| {
            it.behind.write(it).boxed()
        }),
        ("renewing leases", within(third, 10), |it| {
            keep::renew(it).boxed()
        }),
        (
            "ending what is leased no more",
            durable.lease() / 20,
            |it| keep::lapse(it).boxed(),
        ),
        (
            "taking over jobs of hosts that died",
            keep::RECLAIM_EVERY,
            |it| keep::reclaim(it, Reclaim::Expired).boxed(),
        ),
        (
            "forgetting jobs past their retention",
            within(old, 5),
            |it| keep::forget(it).boxed(),
        ),
        ("ending jobs without a plugin", within(patience, 30), |it| {
            keep::fail_forsaken(it).boxed()
        }),
        ("removing payloads", within(unneeded, 60 * 60), |it| {
            keep::sweep(it).boxed()
        }),
    ];
    for (what, period, step) in steps {
        let every = Every::period(period);
        beside.spawn(keep::go_on(Arc::clone(durable), every, what, step));
    }
    // Who waits for a plugin hears at once that it has come or gone.
    let every = Every {
        period: within(third, 10),
        bell: Arc::clone(&durable.plugins_changed),
    };
    let (what, step): (_, Step) = ("saying that this host lives", |it| {
        keep::heartbeat(it).boxed()
    });
    beside.spawn(keep::go_on(Arc::clone(durable), every, what, step));
}

/// A period of at least 200 ms and at most so many seconds.
fn within(period: Duration, seconds: u64) -> Duration {
    period.clamp(Duration::from_millis(200), Duration::from_secs(seconds))
}
