//! Tells the service manager how the host fares, where one started it and wants to know: sd_notify(3).
//! Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use uuid::Uuid;

use crate::services::{JobManagementService, PluginManagementService};

/// The manager of this service, if there is one: else nothing is told to nobody.
#[derive(Debug, Default)]
pub struct ServiceManager {
    is_ready: AtomicBool,
}

impl ServiceManager {
    /// The host serves from now on.
    pub(super) fn ready(&self, plugins: &PluginManagementService) {
        self.is_ready.store(true, Ordering::Release);
        tell(&["READY=1", &status(plugins)]);
    }

    /// Settings and folder are read again; without effect on a host that is not ready yet.
    pub fn reloading(&self) {
        if self.is_ready.load(Ordering::Acquire) {
            let now = monotonic_now();
            tell(&[
                "RELOADING=1",
                &now,
                "STATUS=reading settings and folder again",
            ]);
        }
    }

    /// That is done.
    pub fn reloaded(&self, plugins: &PluginManagementService) {
        if self.is_ready.load(Ordering::Acquire) {
            tell(&["READY=1", &status(plugins)]);
        }
    }

    /// The host stops, and waits no longer than `drain` for what runs.
    pub(super) fn stopping(&self, drain: Duration) {
        // A reload that ends now does not make it ready again.
        self.is_ready.store(false, Ordering::Release);
        let status = format!(
            "STATUS=stopping: what runs has {} s to end",
            drain.as_secs()
        );
        tell(&["STOPPING=1", &status]);
    }
}

/// What a live host can say of itself at once.
pub(super) struct Pulse {
    pub(super) service: Arc<ServiceManager>,
    pub(super) plugins: Arc<PluginManagementService>,
    /// Where the store is on this machine: one elsewhere may be away without this host being to blame.
    pub(super) jobs: Option<Arc<JobManagementService>>,
}

/// Tells a manager that asked for it that the host is alive, until dropped.
pub(super) fn watchdog(pulse: Pulse) -> Option<AbortOnDropHandle<()>> {
    let patience = patience()?;
    info!(
        patience_ms = patience.as_millis(),
        "the service manager watches over this host"
    );
    Some(AbortOnDropHandle::new(tokio::spawn(
        pulse.beat(patience / 3),
    )))
}

impl Pulse {
    /// Each beat comes from the runtime that carries the calls, and only when registry and store have answered: where
    /// one of them hangs, the next does not come.
    async fn beat(self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = status(&self.plugins);
            if let Some(jobs) = &self.jobs {
                // That there is no such job is answer enough.
                let _ = jobs.look_up(&Uuid::now_v7().to_string(), None).await;
            }
            if self.service.is_ready.load(Ordering::Acquire) {
                tell(&["WATCHDOG=1", &status]);
            } else {
                tell(&["WATCHDOG=1"]);
            }
        }
    }
}

/// What stands beside the service where its state is shown.
fn status(plugins: &PluginManagementService) -> String {
    let (served, refused) = (plugins.list_plugins().len(), plugins.refused().len());
    let missing: Vec<_> = plugins.missing().iter().map(ToString::to_string).collect();
    let mut status = format!("STATUS=plugins: {served} served");
    if refused > 0 {
        status += &format!(", {refused} refused");
    }
    if !missing.is_empty() {
        status += &format!("; not ready: {} required", missing.join(", "));
    }
    status
}

#[cfg(unix)]
fn tell(lines: &[&str]) {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| sd_notify::NotifyState::Custom(line))
        .collect();
    if let Err(error) = sd_notify::notify(&lines) {
        warn!(%error, "the service manager cannot be told how the host fares");
    }
}

/// How long the manager waits for a word before it takes the host for dead.
#[cfg(unix)]
fn patience() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// When the reload began, by the clock that managers from 253 on ask for.
#[cfg(unix)]
fn monotonic_now() -> String {
    let now = sd_notify::NotifyState::monotonic_usec_now();
    now.map(|now| now.to_string()).unwrap_or_default()
}

#[cfg(not(unix))]
fn tell(_: &[&str]) {}

#[cfg(not(unix))]
fn patience() -> Option<Duration> {
    None
}

#[cfg(not(unix))]
fn monotonic_now() -> String {
    String::new()
}
