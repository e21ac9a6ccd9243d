//! Has points of plugins' rates taken, at even intervals, until the host stops.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::services::{PluginManagementService, RATE_INTERVAL};

/// Ends with `stop`.
pub(super) async fn rates(plugins: Arc<PluginManagementService>, stop: CancellationToken) {
    let mut ticks = interval(RATE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, when there is nothing to see.
    ticks.tick().await;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        plugins.sample_rates();
    }
}
