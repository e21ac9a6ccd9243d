//! The end of generations, and of a plugin as a whole: who is inside is served, and then nobody any more.

use std::sync::Arc;

use super::Common;
use super::task::Rollout;
use crate::events::{Event, Kind};
use crate::registry::{Generation, Plugin};

impl Rollout {
    /// Sees the calls of generations to their end, in tasks.
    pub(super) fn drain(&self, closed: Vec<Arc<Generation>>) {
        for generation in closed {
            let (common, plugin) = (Arc::clone(&self.common), Arc::clone(&self.plugin));
            let tasks = &self.common.host.tasks;
            tasks.spawn(async move { drain(&common, &plugin, generation).await });
        }
    }

    /// The plugin's file is gone: those who wait are served, and then nobody.
    pub(super) fn depart(self) {
        let Self {
            common,
            plugin,
            history,
            candidate,
            mut orders,
            reloads,
            rollbacks,
            ..
        } = self;
        drop(candidate);
        plugin.leave();
        orders.close();
        let late = std::iter::from_fn(|| orders.try_recv().ok()?.into_reply());
        for reply in reloads.into_iter().chain(rollbacks).chain(late) {
            let _ = reply.send(Err(plugin.gone()));
        }
        let tasks = common.host.tasks.clone();
        tokio::task::spawn_blocking(history.forget());
        tasks.spawn(async move {
            for generation in plugin.close().await {
                drain(&common, &plugin, generation).await;
            }
            common.host.registry.forget(&plugin);
        });
    }
}

/// Sees a generation to its end.
async fn drain(common: &Common, plugin: &Plugin, generation: Arc<Generation>) {
    let declaration = generation.declaration();
    let event = |kind| {
        Event::of(kind)
            .plugin(plugin.name())
            .version(&declaration.version)
            .generation(declaration.digest)
    };
    common.tell(event(Kind::Draining).detail("in_flight", generation.in_flight()));
    if let Some(serving) = generation.serving_now() {
        serving.lane.wind_down();
    }
    tokio::select! {
        () = generation.until_empty() => {}
        // The host's own end takes care of what is left.
        () = common.host.stop.cancelled() => return,
    }
    plugin.retire(&generation);
    let totals = generation.totals();
    let event = event(Kind::Retired)
        .detail("calls", totals.calls())
        .detail("errors", totals.errors);
    common.tell(event);
}
