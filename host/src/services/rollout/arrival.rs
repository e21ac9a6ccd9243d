//! Plugins that come and go: each gets its rollout, and loses it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::history::History;
use super::reconciler::{Handle, Reconciler};
use super::task::{Order, Rollout};
use super::wish::Wish;
use crate::events::{Event, Kind};
use crate::loader::{Refused, Scan, Staged};
use crate::names::PluginName;
use crate::registry::Plugin;
use crate::services::opening::{Ears, event_of};

impl Reconciler {
    /// A plugin that there was not.
    pub(super) fn add(&mut self, wish: Wish) {
        self.common.tell(event_of(Kind::Found, &wish.staged));
        let history = History::load(self.common.history_file(&wish.staged.manifest.name));
        let first = self.first(&history, &wish);
        self.begin_rollout(history, first, wish);
    }

    /// What serves first: what served when the host before this one ended, if its copy is there. What the folder holds
    /// has to show first that it can, as at any other time.
    fn first(&self, history: &History, wish: &Wish) -> Wish {
        let config = wish.config.clone();
        match self.restaged(history) {
            Some(staged) => Wish { staged, config },
            None => wish.clone(),
        }
    }

    fn restaged(&self, history: &History) -> Option<Arc<Staged>> {
        let serving = history.serving()?;
        let area = &self.common.host.area;
        let staged = area.restage(serving.digest()?, &serving.file).ok()?;
        Some(Arc::new(staged))
    }

    /// Plugins of the host before this one whose files are refused now: their last good builds serve on. What is known
    /// of plugins whose files are gone is forgotten.
    pub(super) fn take_over(&mut self, scan: &Scan) {
        for name in self.common.plugins_with_history() {
            if scan.staged.iter().any(|it| it.manifest.name == name) {
                continue;
            }
            let history = History::load(self.common.history_file(&name));
            let file = history.serving().map(|serving| serving.file.clone());
            let is_held = |it: &Refused| Some(&it.file) == file.as_ref();
            match self.restaged(&history) {
                Some(staged) if scan.refused.iter().any(is_held) => {
                    let config = self.common.running().plugin(&name);
                    let wish = Wish { staged, config };
                    self.begin_rollout(history, wish.clone(), wish);
                }
                Some(_) | None => drop(history.forget()()),
            }
        }
    }

    fn begin_rollout(&mut self, history: History, first: Wish, wish: Wish) {
        let name = wish.staged.manifest.name.clone();
        let ears = Ears::default();
        let generation = self
            .common
            .lanes
            .generation(&first.staged, &first.config, &ears);
        let forced_kills = Arc::clone(&ears.forced_kills);
        let plugin = Arc::new(Plugin::serving(generation).counting(forced_kills));
        if first != wish {
            // Until its rollout has begun, so that the host is not ready before.
            let candidate = self
                .common
                .lanes
                .generation(&wish.staged, &wish.config, &ears);
            plugin.set_candidate(Some(candidate));
        }
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
            unfit: Vec::new(),
            retry_at: None,
            prove_at: None,
            reloads: Vec::new(),
            rollbacks: Vec::new(),
        };
        self.common.set_orders(&name, Some(orders.clone()));
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
                // What comes of it is told by who looks after the plugin.
                let _ = plugin.open().await;
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
        let mut event = Event::of(Kind::Removed).plugin(name);
        if let Some(stable) = handle.plugin.stable() {
            event = event.generation(stable.declaration().digest);
        }
        self.common.tell(event);
        self.common.set_orders(name, None);
        handle.plugin.leave();
        // Its inbox may be full of an operator's orders: then the closed channel tells it the same.
        let _ = handle.orders.try_send(Order::Remove);
        // Its calls need its copies until they have ended.
        self.departing.push(handle.plugin);
    }
}
