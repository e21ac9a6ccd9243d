//! Holds the plugins that there are to those that the folder holds and the settings want: finds what is new, removes
//! what is gone, tells what is refused, and hands each plugin's wish to its rollout. Copies files, and runs none.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::task::{Order, Rollout};
use super::wish::Wish;
use super::{Ask, Common, Reply, RolloutContext, Rollouts, SettingsSource, folder_event};
use crate::error::CallError;
use crate::events::Kind;
use crate::lane::worker;
use crate::loader::{Catalog, Scan, ScanError, Staged};
use crate::names::{Digest, PluginName};
use crate::registry::Plugin;
use crate::services::opening::event_of;

/// How often a file is tried again that could not be read or copied for now.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// How many plugins that come while the host runs are opened at a time.
const OPENED_AT_A_TIME: usize = 2;

/// The state of a file, as whoever watches tells it: equal as long as nobody has touched the file.
type State = Option<crate::platform::Fingerprint>;

/// What the folder holds: every file with its state, or why that cannot be told.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Why the folder cannot be seen now; the files are those that were seen last.
    pub problem: Option<String>,
    /// The files by their names.
    pub files: BTreeMap<OsString, State>,
}

/// Somebody who watches the folder.
pub trait Watch: Send + Sync {
    /// What it holds.
    fn view(&self) -> Watched;
    /// Waits for the view to change. False when nobody watches any more.
    fn changed(&mut self) -> impl Future<Output = bool> + Send;
    /// Looks now, and returns when the view holds what was found.
    fn rescan(&self) -> impl Future<Output = ()> + Send;
}

/// Reconciles plugins with the folder.
pub struct Reconciler {
    pub(super) common: Arc<Common>,
    // Lent to the thread that reads files.
    catalog: Option<Catalog<State>>,
    pub(super) rollouts: HashMap<PluginName, Handle>,
    /// Plugins that were removed, as long as they have calls.
    pub(super) departing: Vec<Arc<Plugin>>,
    /// Rollouts of a host that does not run yet; never contended, but what holds them must be `Sync`.
    waiting: Mutex<Vec<Rollout>>,
    pub(super) runs: bool,
    /// What was told of files that are not served.
    pub(super) told: Vec<(String, String)>,
    problem: Option<String>,
    retry: bool,
    pub(super) opening: Arc<Semaphore>,
    asks: mpsc::Receiver<Ask>,
}

/// The way to a plugin's rollout.
pub(super) struct Handle {
    pub(super) plugin: Arc<Plugin>,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) kept: watch::Receiver<Vec<Digest>>,
}

impl Reconciler {
    /// One for a host that has no plugins yet, and the way to ask it for something.
    pub fn new(host: RolloutContext) -> (Self, Rollouts) {
        let common = Common::new(host);
        let (rollouts, asks) = Rollouts::new(Arc::clone(&common.orders));
        let catalog = Catalog::new(Arc::clone(&common.host.area));
        let reconciler = Self {
            common,
            catalog: Some(catalog),
            rollouts: HashMap::new(),
            departing: Vec::new(),
            waiting: Mutex::default(),
            runs: false,
            told: Vec::new(),
            problem: None,
            retry: false,
            opening: Arc::new(Semaphore::new(OPENED_AT_A_TIME)),
            asks,
        };
        (reconciler, rollouts)
    }

    /// Ends all that it does.
    pub fn stop(&self) -> CancellationToken {
        self.common.host.stop.clone()
    }

    /// Takes in what the folder holds at the start, on this thread. Nothing is opened yet.
    ///
    /// # Errors
    /// [`ScanError`] when the folder cannot be used.
    pub fn begin(&mut self, watched: Watched) -> Result<(), ScanError> {
        let folder = self.common.running().plugins.dir.clone();
        let catalog = self.catalog.as_mut().expect("it is lent to nobody");
        let scan = catalog.update(&folder, watched.files)?;
        self.warn_of_missing(&scan);
        self.take_over(&scan);
        let found = scan.staged.clone();
        self.take(scan);
        self.tidy(&found);
        Ok(())
    }

    /// Until the host stops.
    pub async fn run(mut self, mut watch: impl Watch, settings: Option<Arc<dyn SettingsSource>>) {
        self.runs = true;
        for rollout in std::mem::take(self.waiting()) {
            self.common.host.tasks.spawn(rollout.run());
        }
        let stop = self.common.host.stop.clone();
        loop {
            let again = async {
                match self.retry {
                    true => tokio::time::sleep(RETRY_EVERY).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                watches = watch.changed() => match watches {
                    true => self.look(watch.view()).await,
                    false => return,
                },
                () = again => self.look(watch.view()).await,
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.carry_out(ask, &watch, settings.as_ref()).await,
                    None => return,
                },
            }
        }
    }

    async fn carry_out(
        &mut self,
        ask: Ask,
        watch: &impl Watch,
        settings: Option<&Arc<dyn SettingsSource>>,
    ) {
        // One look serves all who ask by now.
        let mut asks = vec![ask];
        while let Ok(ask) = self.asks.try_recv() {
            asks.push(ask);
        }
        let configured = self.configure(settings).await;
        watch.rescan().await;
        self.look(watch.view()).await;
        for Ask { plugin, reply } in asks {
            match (&configured, plugin) {
                (Err(error), _) => drop(reply.send(Err(error.clone()))),
                (Ok(()), None) => drop(reply.send(Ok(()))),
                (Ok(()), Some(plugin)) => self.reload(&plugin, reply).await,
            }
        }
    }

    async fn reload(&mut self, plugin: &str, reply: Reply) {
        let found = self.common.host.registry.get_plugin(plugin);
        match found.map(|plugin| plugin.file_invalid()) {
            Ok(None) => self.common.order(plugin, Order::Reload(reply)).await,
            Ok(Some(reason)) => drop(reply.send(Err(CallError::unavailable(reason)))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Takes in what the folder holds now.
    async fn look(&mut self, watched: Watched) {
        if let Some(problem) = watched.problem {
            return self.ails(Some(problem));
        }
        let folder = self.common.running().plugins.dir.clone();
        let mut catalog = self.catalog.take().expect("it is lent to nobody");
        let updated = tokio::task::spawn_blocking(move || {
            let scan = catalog.update(&folder, watched.files);
            (catalog, scan)
        });
        let scan = match updated.await {
            Ok((catalog, scan)) => {
                self.catalog = Some(catalog);
                scan
            }
            Err(panic) => {
                error!(%panic, "the folder could not be read: it is read anew");
                self.catalog = Some(Catalog::new(Arc::clone(&self.common.host.area)));
                self.retry = true;
                return;
            }
        };
        match scan {
            Ok(scan) => {
                self.ails(None);
                self.take(scan);
                self.tidy_beside().await;
            }
            Err(error) => {
                self.ails(Some(explain(&error)));
                // Who mends it changes no file in it.
                self.retry = true;
            }
        }
    }

    /// Notes what ails the folder; what serves goes on whatever that is.
    fn ails(&mut self, problem: Option<String>) {
        if problem == self.problem {
            return;
        }
        self.common.tell(folder_event(problem.as_deref()));
        self.common
            .host
            .registry
            .set_folder_problem(problem.clone());
        self.problem = problem;
    }

    fn take(&mut self, mut scan: Scan) {
        self.retry = scan.retry;
        self.hold(&mut scan);
        self.tell_refused(&scan);
        let running = self.common.running();
        let mut gone: Vec<_> = self.rollouts.keys().cloned().collect();
        for staged in &scan.staged {
            let name = &staged.manifest.name;
            gone.retain(|it| it != name);
            let (staged, config) = (Arc::clone(staged), running.plugin(name));
            let wish = Wish { staged, config };
            match self.rollouts.get(name) {
                Some(handle) => {
                    if handle.wish.borrow().staged.digest != wish.staged.digest {
                        self.common.tell(event_of(Kind::Found, &wish.staged));
                    }
                    handle.wish(wish);
                }
                None => self.add(wish),
            }
        }
        gone.retain(|name| !self.is_held(name, &scan));
        for name in gone {
            self.remove(&name);
        }
        self.note_held(&scan);
    }

    /// The builds whose copies are needed, beside those that the folder holds.
    fn needed(&self) -> Vec<Digest> {
        let kept = self.rollouts.values();
        let kept = kept.flat_map(|handle| handle.kept.borrow().clone());
        let plugins = self.common.host.registry.plugins();
        let plugins = plugins.iter().chain(&self.departing);
        let alive = plugins.flat_map(|plugin| plugin.alive());
        kept.chain(alive.map(|it| it.declaration().digest))
            .collect()
    }

    /// Removes what earlier hosts have left behind. Nobody has said yet what is to be kept but the records.
    fn tidy(&mut self, found: &[Arc<Staged>]) {
        let rollouts = self.waiting().iter();
        let good = rollouts.flat_map(|rollout| rollout.history.good());
        let good: Vec<_> = good.filter_map(|build| build.digest()).collect();
        let needed: Vec<_> = self.needed().into_iter().chain(good).collect();
        let found = found.iter().map(|staged| staged.digest);
        let kept = found.chain(needed.iter().copied()).collect();
        worker::forget_libraries(&self.common.host.workers, &kept);
        if let Some(catalog) = &self.catalog {
            catalog.tidy(needed);
        }
    }

    pub(super) fn waiting(&mut self) -> &mut Vec<Rollout> {
        let waiting = self.waiting.get_mut();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    async fn tidy_beside(&mut self) {
        self.departing.retain(|plugin| !plugin.alive().is_empty());
        let needed = self.needed();
        let catalog = self.catalog.take().expect("it is lent to nobody");
        let tidied = tokio::task::spawn_blocking(move || {
            catalog.tidy(needed);
            catalog
        });
        let area = &self.common.host.area;
        self.catalog = Some(
            tidied
                .await
                .unwrap_or_else(|_| Catalog::new(Arc::clone(area))),
        );
    }
}

impl Handle {
    /// The name of the file that is wished to serve.
    pub(super) fn file(&self) -> String {
        self.wish.borrow().staged.file_name.clone()
    }

    /// Wakes the rollout only where there is something new.
    pub(super) fn wish(&self, wish: Wish) {
        self.wish.send_if_modified(|known| {
            let is_new = *known != wish;
            *known = wish;
            is_new
        });
    }
}

/// The error with its cause, in one line.
fn explain(error: &ScanError) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
