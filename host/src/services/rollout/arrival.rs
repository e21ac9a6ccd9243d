//! Plugins that come and go: each gets its rollout, and loses it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::history::History;
use super::reconciler::{Handle, Reconciler};
use super::task::{Order, Rollout};
use super::wish::Wish;
use crate::events::{Event, EventLog, Kind};
use crate::names::PluginName;
use crate::registry::Plugin;
use crate::services::opening::{Ears, event_of};

impl Reconciler {
    /// A plugin that there was not.
    pub(super) fn add(&mut self, wish: Wish) {
        let name = wish.staged.manifest.name.clone();
        self.common.tell(event_of(Kind::Found, &wish.staged));
        let history = History::load(self.common.history_file(&name));
        let first = self.first(&history, &wish);
        let ears = Ears::default();
        let generation = self
            .common
            .lanes
            .generation(&first.staged, &first.config, &ears);
        let forced_kills = Arc::clone(&ears.forced_kills);
        let plugin = Arc::new(Plugin::serving(generation).counting(forced_kills));
        self.common.host.registry.register(Arc::clone(&plugin));
        let (orders, inbox) = mpsc::channel(16);
        let (kept, is_kept) = watch::channel(vec![first.staged.digest]);
        let (wish, wishes) = watch::channel(wish);
        let rollout = Rollout {
            common: Arc::clone(&self.common),
            plugin: Arc::clone(&plugin),
            ears,
            wishes,
            orders: inbox,
            kept,
            history,
            stable: first,
            candidate: None,
            search: None,
            trial: None,
            unfit: None,
            retry_at: None,
            asked: Vec::new(),
        };
        let handle = Handle {
            plugin: Arc::clone(&plugin),
            wish,
            orders,
            kept: is_kept,
        };
        self.rollouts.insert(name, handle);
        if self.runs {
            self.common.host.tasks.spawn(rollout.run());
            self.open_soon(plugin);
        } else {
            self.waiting().push(rollout);
        }
    }

    /// What serves first: what the folder holds, unless it was taken out while an earlier host ran.
    fn first(&self, history: &History, wish: &Wish) -> Wish {
        if history.refusal(wish.staged.digest).is_none() {
            return wish.clone();
        }
        let area = &self.common.host.area;
        let mut good = history
            .good()
            .filter_map(|build| area.restage(build.digest()?, &build.file).ok());
        let staged = good
            .next()
            .map_or_else(|| Arc::clone(&wish.staged), Arc::new);
        let config = wish.config.clone();
        Wish { staged, config }
    }

    /// Opens a plugin that has come while the host runs, unless there are so many that each is left to its first call.
    fn open_soon(&self, plugin: Arc<Plugin>) {
        if self.rollouts.len() > self.common.running().plugins.preload {
            return;
        }
        let (turns, common) = (Arc::clone(&self.opening), Arc::clone(&self.common));
        let stop = common.host.stop.clone();
        self.common.host.tasks.spawn(async move {
            let opened = async {
                let _turn = turns.acquire().await;
                open(&common.host.events, &plugin).await;
            };
            tokio::select! {
                () = opened => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// A plugin that there is no more.
    pub(super) fn remove(&mut self, name: &PluginName) {
        let Some(handle) = self.rollouts.remove(name) else {
            return;
        };
        let generation = handle.wish.borrow().staged.digest;
        let event = Event::of(Kind::Removed).plugin(name).generation(generation);
        self.common.tell(event);
        handle.plugin.leave();
        // Its inbox may be full of an operator's orders: then the closed channel tells it the same.
        let _ = handle.orders.try_send(Order::Remove);
    }
}

/// Opens what serves a plugin, and says so.
pub(in crate::services) async fn open(events: &EventLog, plugin: &Plugin) {
    let Some(stable) = plugin.stable() else {
        return;
    };
    // Why it is refused was told when that was found.
    if stable.serving().await.is_ok() {
        let declaration = stable.declaration();
        let event = Event::of(Kind::Serving)
            .plugin(plugin.name())
            .version(&declaration.version)
            .generation(declaration.digest)
            .file(&declaration.file);
        events.tell(event);
    }
}
