//! Claims jobs that wait, as many as there are free seats, and has them run. Runs nothing itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::clock::delta;
use super::desks::Ready;
use super::durable::Durable;
use super::held::HeldJob;
use super::run::begin;
use super::settle::hand_back;
use crate::jobs::{Claim, Record, StoreError};
use crate::names::PluginName;

/// How often the store is asked for jobs whose time has come, though nobody says so.
const POLL: Duration = Duration::from_millis(500);
/// How often it is looked which plugins can be called.
const ARRANGE: Duration = Duration::from_millis(250);

/// Claims and begins jobs until no more are to begin.
pub(super) async fn dispatch(durable: Arc<Durable>) {
    let mut arranged: Option<Instant> = None;
    let mut polled: Option<Instant> = None;
    let mut is_failing = false;
    loop {
        if arranged.is_none_or(|at| at.elapsed() >= ARRANGE) {
            arrange(&durable);
            arranged = Some(Instant::now());
        }
        if polled.is_none_or(|at| at.elapsed() >= POLL) {
            durable.desks.look_again();
            polled = Some(Instant::now());
        }
        match claim_all(&durable).await {
            Ok(()) => is_failing = false,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(%error, "jobs cannot be claimed now");
                }
                pause(&durable, POLL).await;
            }
        }
        tokio::select! {
            () = durable.stop.cancelled() => return abandon(&durable),
            () = durable.desks.bell.notified() => {}
            () = tokio::time::sleep(ARRANGE) => {}
        }
    }
}

async fn pause(durable: &Durable, time: Duration) {
    tokio::select! {
        () = durable.stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// A desk for each plugin that can be called; what waited for another waits in the store again, and other hosts hear
/// of what has come or gone.
fn arrange(durable: &Arc<Durable>) {
    let plugins = durable.plugins.callable();
    if !durable.desks.are_of(&plugins) {
        durable.plugins_changed.notify_one();
    }
    for job in durable.desks.arrange(&plugins) {
        durable.tasks.spawn(leave(Arc::clone(durable), job.held));
    }
}

/// Claims until no seat is free or no job waits.
async fn claim_all(durable: &Arc<Durable>) -> Result<(), StoreError> {
    loop {
        let wanted = durable.desks.wanting();
        if wanted.is_empty() || durable.stop.is_cancelled() {
            return Ok(());
        }
        // Before the look: what comes while it lasts is looked for again.
        set_backlog(durable, wanted.iter().map(|(plugin, _)| plugin), false);
        let until = Instant::now() + durable.lease();
        let claimed = claim(durable, &wanted).await;
        match claimed {
            Ok(records) => seat_all(durable, &wanted, records, until),
            Err(error) => {
                set_backlog(durable, wanted.iter().map(|(plugin, _)| plugin), true);
                return Err(error);
            }
        }
    }
}

async fn claim(
    durable: &Durable,
    wanted: &[(PluginName, usize)],
) -> Result<Vec<Record>, StoreError> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let plugins = wanted.iter();
    let plugins = plugins.map(|(name, count)| (name.clone(), number(*count)));
    let now = durable.clock.now();
    let claim = Claim {
        host: durable.host,
        plugins: plugins.collect(),
        now,
        until: now + delta(durable.lease()),
    };
    let records = durable.store.claim(claim).await?;
    fail::fail_point!("job.claimed");
    Ok(records)
}

fn seat_all(
    durable: &Arc<Durable>,
    wanted: &[(PluginName, usize)],
    records: Vec<Record>,
    until: Instant,
) {
    let mut claimed: HashMap<PluginName, usize> = HashMap::new();
    for record in records {
        *claimed.entry(record.plugin.clone()).or_default() += 1;
        let desk = durable.desks.find(&record.plugin);
        let held = durable.held.insert(record, until);
        let Some(desk) = desk else {
            // The plugin has gone just now.
            durable.tasks.spawn(leave(Arc::clone(durable), held));
            continue;
        };
        let seat = desk.seat_claimed();
        desk.sit(Ready {
            held,
            payload: None,
            seat,
        });
    }
    for (plugin, count) in wanted {
        let Some(desk) = durable.desks.find(plugin) else {
            continue;
        };
        if claimed.get(plugin).is_some_and(|claimed| claimed >= count) {
            desk.set_backlog(true);
        }
        begin(durable, &desk);
    }
}

fn set_backlog<'a>(
    durable: &Durable,
    plugins: impl Iterator<Item = &'a PluginName>,
    backlog: bool,
) {
    for desk in plugins.filter_map(|plugin| durable.desks.find(plugin)) {
        desk.set_backlog(backlog);
    }
}

/// Has everything that waits here for its turn wait in the store again.
pub(super) fn abandon(durable: &Arc<Durable>) {
    for job in durable.desks.clear() {
        durable.tasks.spawn(leave(Arc::clone(durable), job.held));
    }
}

/// Lets a job that was not begun be claimed again, at once and by anybody.
async fn leave(durable: Arc<Durable>, held: Arc<HeldJob>) {
    hand_back(&durable, &held, None, false, None).await;
    durable.held.remove(&held);
    durable.endings.tell(held.record.id);
}
