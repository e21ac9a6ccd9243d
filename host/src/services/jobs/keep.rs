//! What goes on beside the jobs as long as the host lives: leases are prolonged, jobs of hosts that died taken over,
//! what is past its retention forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::clock::delta;
use super::durable::Durable;
use super::held::Wish;
use super::open::Step;
use super::stored::error_of;
use super::tell;
use crate::error::CallError;
use crate::events::{Event, Kind};
use crate::jobs::{Forget, Held, HostSeen, Notice, Reclaim, Renewal, StoreError};

/// How often it is looked for jobs whose lease has run out.
pub(super) const RECLAIM_EVERY: Duration = Duration::from_millis(500);
/// How many jobs are removed in one step.
const FORGOTTEN_AT_A_TIME: u32 = 500;
/// How many jobs without a plugin are ended in one step.
const FAILED_AT_A_TIME: u32 = 100;

/// When something is done that is done over and over.
pub(super) struct Every {
    /// After so long at the latest.
    pub(super) period: Duration,
    /// And when this rings.
    pub(super) bell: Arc<Notify>,
}

impl Every {
    /// By its time alone.
    pub(super) fn period(period: Duration) -> Self {
        let bell = Arc::default();
        Self { period, bell }
    }
}

/// Does something over and over for as long as jobs are kept; what keeps it from being done is told once, and its end.
pub(super) async fn go_on(durable: Arc<Durable>, every: Every, what: &'static str, step: Step) {
    let mut is_failing = false;
    loop {
        match step(&durable).await {
            Ok(()) if is_failing => {
                info!(what, "the job store does it again");
                is_failing = false;
            }
            Err(error) if !is_failing => {
                warn!(what, %error, "the job store does not do it now");
                is_failing = true;
            }
            Ok(()) | Err(_) => {}
        }
        tokio::select! {
            () = durable.over.cancelled() => return,
            () = every.bell.notified() => {}
            () = tokio::time::sleep(every.period) => {}
        }
    }
}

/// Prolongs the leases of the jobs that are here, and ends those that are ours no more.
pub(super) async fn renew(durable: &Durable) -> Result<(), StoreError> {
    let lease = durable.lease();
    // Those that were leased just now have time.
    let due = Instant::now() + lease * 2 / 3;
    let mut held = durable.held.all();
    held.retain(|job| job.until() <= due && job.wish() != Some(Wish::Lost));
    if held.is_empty() {
        return Ok(());
    }
    let renewals = held.iter().map(|job| Renewal {
        lease: job.lease(),
        progress: job.progress(),
        log: job.course.log(),
    });
    let (until, asked) = (durable.clock.now() + delta(lease), Instant::now());
    let renewed = durable.store.renew(renewals.collect(), until);
    // An answer that is long in coming may never come, where another way to the store is open.
    let renewed = tokio::time::timeout(lease / 3, renewed).await;
    let late = |_| StoreError::Unreachable("it does not answer in time".to_owned());
    for (job, held) in held.iter().zip(renewed.map_err(late)??) {
        match held {
            Held::Kept => job.prolong(asked + lease),
            Held::CancelAsked => {
                job.prolong(asked + lease);
                job.end(Wish::Cancel);
            }
            Held::Lost => job.end(Wish::Lost),
        }
    }
    Ok(())
}

/// Ends jobs whose leases are about to run out: a host that cannot say that it lives must be done before another one
/// begins. Waits for no store.
pub(super) async fn lapse(durable: &Durable) -> Result<(), StoreError> {
    if !durable.store.is_shared() {
        // Nobody else takes them over, however long the disk takes.
        return Ok(());
    }
    let soon = Instant::now() + durable.lease() / 10;
    let held = durable.held.all();
    let lapsing = held.iter().filter(|job| job.until() <= soon);
    lapsing.for_each(|job| job.end(Wish::Lost));
    Ok(())
}

/// Says that this host lives, and hears which others do; goes by the store's clock from then on.
pub(super) async fn heartbeat(durable: &Durable) -> Result<(), StoreError> {
    let asked = Instant::now();
    let time = durable.store.time().await?;
    // An answer that was long on its way tells of the past.
    if asked.elapsed() <= durable.lease() / 10 {
        durable.clock.set(time);
    }
    let now = durable.clock.now();
    let mine = HostSeen {
        id: durable.host,
        plugins: durable
            .plugins
            .callable()
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        at: now,
    };
    let alive = durable
        .store
        .heartbeat(mine, now - delta(durable.lease()))
        .await?;
    let served: BTreeSet<_> = alive.into_iter().flat_map(|host| host.plugins).collect();
    durable.served.store(Arc::new(served));
    Ok(())
}

/// Has jobs wait again whose hosts have died.
pub(super) async fn reclaim(durable: &Durable, which: Reclaim) -> Result<(), StoreError> {
    // A store that took no renewals for a while must not take from us what we still run.
    renew(durable).await?;
    let cancelled = error_of(&CallError::Cancelled, None);
    let count = durable
        .store
        .reclaim(which, cancelled, durable.clock.now())
        .await?;
    if count > 0 {
        let event = Event::of(Kind::JobsTakenOver);
        durable.events.tell(event.detail("jobs", count));
        durable.desks.look_again();
    }
    Ok(())
}

/// Ends jobs whose plugin no host has served for longer than the operator's patience.
pub(super) async fn fail_forsaken(durable: &Durable) -> Result<(), StoreError> {
    let now = durable.clock.now();
    let due_before = now - delta(durable.running.load().jobs.patience.duration());
    let served = durable.served.load().iter().cloned().collect();
    let forsaken = durable
        .store
        .waiting_without(served, due_before, FAILED_AT_A_TIME)
        .await?;
    for record in forsaken {
        let error = durable.plugins.absence(&record.plugin);
        let error = error_of(&error, Some(&record.plugin));
        let code = super::course::code_of(&Err(error.clone()));
        if durable.store.fail_pending(record.id, error, now).await? {
            tell::ended(
                durable,
                &record,
                crate::jobs::Status::Failed,
                code.as_deref(),
            );
            durable.endings.tell(record.id);
            durable.callbacks.wake();
        }
    }
    Ok(())
}

/// Removes jobs that are past their retention.
pub(super) async fn forget(durable: &Durable) -> Result<(), StoreError> {
    let kept = durable.running.load().jobs.retention;
    let now = durable.clock.now();
    let forget = Forget {
        ended_before: now - delta(kept.age.duration()),
        keep: kept.count as u64,
        most: FORGOTTEN_AT_A_TIME,
    };
    let mut total = 0;
    loop {
        let count = durable.store.forget(forget).await?;
        total += count;
        if count < u64::from(FORGOTTEN_AT_A_TIME) || durable.over.is_cancelled() {
            break;
        }
    }
    if total > 0 {
        debug!(jobs = total, "jobs past their retention are forgotten");
    }
    fail::fail_point!("job.forgotten");
    Ok(())
}

/// Removes payloads that no job needs, and nobody has put for a while.
pub(super) async fn sweep(durable: &Durable) -> Result<(), StoreError> {
    let kept = durable.running.load().jobs.retention.payloads.duration();
    // Files go by the system's clock, which may have been set: by the earlier of both nothing is too old too soon.
    let now = durable.clock.now().min(Utc::now());
    let before = now - delta(kept);
    let mut removed = durable.store.forget_data(before).await?;
    if let Some(place) = durable.payloads.place().filter(|_| durable.sweeps) {
        let unused = |digests: Vec<_>| -> futures_util::future::BoxFuture<'_, Vec<_>> {
            // What the store cannot tell now is not removed now.
            Box::pin(async {
                let unused = durable.store.unused(digests).await.unwrap_or_default();
                // Looked at last: what was added meanwhile was arriving until then.
                durable.payloads.not_arriving(unused)
            })
        };
        let swept = place.sweep(before, &unused).await;
        removed += swept.map_err(|error| StoreError::Other(error.to_string()))?;
    }
    if removed > 0 {
        debug!(payloads = removed, "payloads that no job needs are removed");
    }
    Ok(())
}

/// Hears what other hosts have done.
pub(super) async fn listen(durable: Arc<Durable>) {
    let mut notices = durable.store.notices();
    loop {
        let notice = tokio::select! {
            () = durable.over.cancelled() => return,
            notice = notices.recv() => notice,
        };
        match notice {
            Ok(Notice::Added) => durable.desks.look_again(),
            Ok(Notice::Ended(id)) => durable.endings.tell(id),
            Ok(Notice::CancelAsked(id)) => {
                if let Some(held) = durable.held.find(id) {
                    held.end(Wish::Cancel);
                }
            }
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => durable.desks.look_again(),
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}
