//! How a new build comes to serve, and how the last good one comes back: from views of the folder to generations that
//! take calls. Runs no plugin and knows no HTTP.
//!
//! In reading order: `reconciler` holds the plugins that there are to those that the folder holds, `arrival` begins and
//! ends their rollouts, `refused` tells what is not served, `settings` what the operator says meanwhile. `wish` is what
//! a plugin is to be, `task` brings it there, `candidate` is a build on its way, `canary` tries one with a share of the
//! calls and `trial` is its judge, `back` brings the last good build back, `drain` ends what served, `history` knows the
//! earlier builds.

mod arrival;
mod back;
mod canary;
mod candidate;
mod drain;
mod history;
mod reconciler;
mod refused;
mod settings;
mod task;
mod trial;
mod wish;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use reconciler::{Reconciler, Watch, Watched};
pub use settings::SettingsSource;

use super::opening::Lanes;
use crate::config::Config;
use crate::error::CallError;
use crate::events::{Event, EventLog, Kind};
use crate::lane::in_process::Mapped;
use crate::lane::worker::Workers;
use crate::loader::StagingArea;
use crate::names::PluginName;
use crate::registry::PluginRegistry;
use task::Order;

/// What all rollouts of a host have in common.
pub struct RolloutContext {
    /// Where plugins are called from.
    pub registry: Arc<PluginRegistry>,
    /// Where their code runs.
    pub workers: Arc<Workers>,
    /// Where their private copies are.
    pub area: Arc<StagingArea>,
    /// Who hears of it all.
    pub events: Arc<EventLog>,
    /// The settings as they hold now.
    pub running: Arc<ArcSwap<Config>>,
    /// Tasks that the end of the host waits for.
    pub tasks: TaskTracker,
    /// The host stops: nothing new comes to serve.
    pub stop: CancellationToken,
}

/// The ways to all rollouts.
type Orders = Arc<Mutex<HashMap<PluginName, mpsc::Sender<Order>>>>;

/// The context as rollouts use it.
struct Common {
    host: RolloutContext,
    lanes: Lanes,
    orders: Orders,
}

impl Common {
    fn new(host: RolloutContext) -> Arc<Self> {
        let lanes = Lanes {
            workers: Arc::clone(&host.workers),
            mapped: Arc::new(Mapped::default()),
            events: Arc::clone(&host.events),
        };
        Arc::new(Self {
            host,
            lanes,
            orders: Arc::default(),
        })
    }

    /// Notes the way to a plugin's rollout, or that there is none any more.
    fn set_orders(&self, plugin: &PluginName, way: Option<mpsc::Sender<Order>>) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        match way {
            Some(way) => drop(orders.insert(plugin.clone(), way)),
            None => drop(orders.remove(plugin)),
        }
    }

    async fn order(&self, plugin: &str, order: Order) {
        give(&self.orders, plugin, order).await;
    }

    fn tell(&self, event: Event) {
        self.host.events.tell(event);
    }

    fn running(&self) -> Arc<Config> {
        self.host.running.load_full()
    }

    /// Where it is written what is known of a plugin's builds.
    fn history_file(&self, plugin: &PluginName) -> PathBuf {
        self.histories().join(format!("{plugin}.json"))
    }

    /// The plugins of which something is known.
    fn plugins_with_history(&self) -> Vec<PluginName> {
        let files = std::fs::read_dir(self.histories()).into_iter().flatten();
        let names = files.flatten().filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            PluginName::parse(name.strip_suffix(".json")?).ok()
        });
        names.collect()
    }

    fn histories(&self) -> PathBuf {
        self.running().state.join("history")
    }
}

/// Hands an order on. Where there is nobody to take it the reply is dropped, and who waits hears of that.
async fn give(orders: &Orders, plugin: &str, order: Order) {
    let way = {
        let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.get(plugin).cloned()
    };
    if let Some(way) = way {
        let _ = way.send(order).await;
    }
}

/// The way to ask for something; `plugin` may be anybody's text.
#[derive(Clone)]
pub struct Rollouts {
    asks: mpsc::Sender<Ask>,
    orders: Orders,
}

/// Settings and folder are to be read again, and what one plugin was refused for forgotten, or of none.
struct Ask {
    plugin: Option<String>,
    reply: Reply,
}

/// Who waits for what comes of it.
type Reply = oneshot::Sender<Result<(), CallError>>;

impl Rollouts {
    /// The way, and its end.
    fn new(orders: Orders) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, inbox) = mpsc::channel(16);
        (Self { asks, orders }, inbox)
    }

    /// A way that leads nowhere, for a host whose plugins stay as they are.
    pub fn none() -> Self {
        Self::new(Orders::default()).0
    }

    /// Reads settings and folder again and waits for what comes of it: for one plugin, if one is named.
    ///
    /// # Errors
    /// `plugin_unavailable` with the reason why settings, folder or build are not what serves now; `plugin_not_found`.
    pub async fn reload(&self, plugin: Option<&str>) -> Result<(), CallError> {
        let plugin = plugin.map(str::to_owned);
        let (reply, answer) = oneshot::channel();
        // Where nobody takes it, the reply is dropped.
        let _ = self.asks.send(Ask { plugin, reply }).await;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Lets the last good build of a plugin serve again.
    ///
    /// # Errors
    /// `plugin_unavailable` where there is none, or it cannot be opened.
    pub async fn rollback(&self, plugin: &str) -> Result<(), CallError> {
        let (reply, answer) = oneshot::channel();
        give(&self.orders, plugin, Order::Rollback(reply)).await;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> CallError {
    CallError::unavailable("stopping: the host is stopping".to_owned())
}

/// The event that says what ails the folder.
fn folder_event(problem: Option<&str>) -> Event {
    match problem {
        Some(problem) => Event::of(Kind::FolderProblem).reason(problem),
        None => Event::of(Kind::FolderFine),
    }
}
