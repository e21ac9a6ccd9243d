//! The composition root: builds the chain from its settings, starts and stops it. The binary and
//! the tests both begin here.

mod access;
mod adopted;
mod jobs;
mod listen;
mod sample;
mod service;
mod traces;
mod watch;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use crate::http::{ListenError, Listeners, Tls};
pub use access::{AccessError, open_access};
pub use jobs::JobsError;
pub use listen::listen;
pub use service::ServiceManager;

use crate::access::Access;
use crate::budget::Budget;
use crate::config::{Config, LaneKind, Sandbox, StorePlace};
use crate::events::{Event, EventLog, Kind};
use crate::http::{self, EdgeStats, HttpLimits, ServerState, Services, Shutdown};
use crate::jobs::{MemoryStore, Retention};
use crate::lane::worker::{self, Workers};
use crate::loader::{ScanError, StagingArea, StagingError};
use crate::registry::PluginRegistry;
use crate::runner::ToolRunner;
use crate::services::rollout::{Reconciler, RolloutContext, SettingsSource};
use crate::services::{AnalysisService, JobManagementService, PluginManagementService};
use crate::validation::InputLimits;
use crate::watcher::FolderView;
use adopted::Followed;
use traces::Traces;

/// The most bytes of results that are kept in memory for a later look.
const KEPT_RESULTS: usize = 64 << 20;
/// How long analyses that somebody waited for are kept in memory, and how many.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
const KEPT_ANALYSES: usize = 10_000;
/// How long a stop waits for calls whose callers have gone.
const ABANDONED_CALLS: Duration = Duration::from_secs(1);

/// The whole chain, ready to be called.
pub struct App {
    /// Where requests enter.
    pub analysis: Arc<AnalysisService>,
    /// Where jobs are kept.
    pub jobs: Arc<JobManagementService>,
    /// Where plugins are managed.
    pub plugins: Arc<PluginManagementService>,
    /// Where plugins are looked up.
    pub registry: Arc<PluginRegistry>,
    access: Arc<Access>,
    /// Who is told how the host fares.
    pub service: Arc<ServiceManager>,
    config: Config,
    running: Arc<ArcSwap<Config>>,
    workers: Arc<Workers>,
    events: Arc<EventLog>,
    reconciler: Reconciler,
    view: FolderView,
    tasks: TaskTracker,
    traces: Traces,
    // Held for as long as the app lives.
    _lock: File,
}

/// Why the host cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The folder for its own files cannot be used.
    #[error("cannot use the state folder `{}`: {source}", folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody can be listened to.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Another host uses the folder for its own files.
    #[error("the state folder `{}` is locked: another host uses it; stop it, or give this one its own with --state", .0.display())]
    Locked(PathBuf),
    /// The folder for private copies cannot be used.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The plugins folder cannot be used.
    #[error(transparent)]
    Plugins(#[from] ScanError),
    /// Workers are not shut in as the operator insists.
    #[error(
        "`workers.sandbox = \"required\"`, and workers cannot be shut in: {0}; set it to \"best-effort\" to run without"
    )]
    Sandbox(String),
    /// Nobody must be let in.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Jobs cannot be kept.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// Traces cannot be sent.
    #[error("{0}")]
    Telemetry(String),
    /// The job store could not be trusted any more while the host ran.
    #[error("the job store cannot be trusted any more, start the host anew: {0}")]
    StoreFailed(String),
}

impl App {
    /// Builds the chain and takes in what the plugins folder holds, without running any of it.
    ///
    /// # Errors
    /// When the state folder or the plugins folder cannot be used.
    pub fn build(config: Config) -> Result<Self, StartError> {
        let access = Arc::new(open_access(&config)?);
        let traces = Traces::open(&config.telemetry)?;
        let lock = lock(&config.state)?;
        let area = Arc::new(StagingArea::open(&config.state)?);
        let workers = Workers::new(&config.workers, &config.state)
            .map_err(|source| state(&config.state, source))?;
        let registry = Arc::new(PluginRegistry::default());
        let (tasks, events) = (TaskTracker::new(), Arc::new(EventLog::starting()));
        let running = Arc::new(ArcSwap::from_pointee(config.clone()));
        let (mut reconciler, rollouts) = Reconciler::new(RolloutContext {
            registry: Arc::clone(&registry),
            workers: Arc::clone(&workers),
            area,
            events: Arc::clone(&events),
            running: Arc::clone(&running),
            tasks: tasks.clone(),
            stop: CancellationToken::new(),
        });
        let view = watch::first(&config.plugins.dir);
        reconciler.begin(view.clone().into())?;
        let limits = InputLimits {
            max_pixels: config.server.max_pixels,
        };
        let runner = ToolRunner::new(Arc::clone(&registry), limits, tasks.clone());
        let plugins = Arc::new(PluginManagementService::new(
            Arc::clone(&registry),
            runner,
            rollouts,
            Arc::clone(&events),
            Arc::clone(&running),
        ));
        let jobs = Arc::new(JobManagementService::new(
            Arc::clone(&plugins),
            store(&config),
            tasks.clone(),
        ));
        let analysis = Arc::new(AnalysisService::new(
            Arc::clone(&jobs),
            Arc::clone(&running),
        ));
        Ok(Self {
            analysis,
            jobs,
            plugins,
            registry,
            access,
            service: Arc::default(),
            config,
            running,
            workers,
            events,
            reconciler,
            view,
            tasks,
            traces,
            _lock: lock,
        })
    }

    /// Shows in a worker that it is shut in, and says what holds it and what does not.
    ///
    /// # Errors
    /// When the operator insists on what cannot be had.
    pub async fn try_sandbox(&self) -> Result<(), StartError> {
        let platform = self.workers.side().as_str();
        self.warn_of_trusted();
        self.tell_of_groups();
        if self.config.workers.sandbox == Sandbox::Off {
            warn!(
                platform,
                "workers are not shut in: `workers.sandbox` is off"
            );
            return Ok(());
        }
        let proof = worker::prove(&self.workers).await;
        let insists = self.config.workers.sandbox == Sandbox::Required;
        match proof {
            Ok(proof) if proof.is_whole() => {
                let in_force = proof.measures.join(", ");
                info!(
                    platform,
                    in_force, "workers are shut in, and could not get out"
                );
                Ok(())
            }
            Ok(proof) => {
                let in_force = proof.measures.join(", ");
                let not_in_force = [proof.missing, proof.broken].concat().join(", ");
                warn!(
                    platform,
                    in_force, not_in_force, "workers are shut in, but not wholly"
                );
                if insists {
                    Err(StartError::Sandbox(not_in_force))
                } else {
                    Ok(())
                }
            }
            Err(problem) if insists => Err(StartError::Sandbox(problem)),
            Err(problem) => {
                warn!(
                    platform,
                    problem, "it cannot be shown that workers are shut in"
                );
                Ok(())
            }
        }
    }

    fn tell_of_groups(&self) {
        match self.workers.ungrouped() {
            None => info!(
                "each worker has a control group: memory.max and pids.max limit it with all that it starts"
            ),
            Some(reason) => info!(
                reason,
                "workers have no control groups: RLIMIT_DATA and a look each second limit their memory, RLIMIT_NPROC their threads where they have users of their own"
            ),
        }
    }

    fn warn_of_trusted(&self) {
        let plugins = &self.config.plugins;
        let settings = plugins.named.values().chain([&plugins.defaults]);
        for trusted in settings.filter(|plugin| plugin.lane == LaneKind::InProcess) {
            let lane = trusted.lane.as_str();
            warn!(
                lane,
                "plugins of this lane can end the host: it is for those that you trust"
            );
        }
    }

    /// Serves HTTP on `listeners` and follows the plugins folder until `shutdown`, then lets what runs come to its end,
    /// but no longer than the configured time. Settings are read again from `settings`.
    ///
    /// # Errors
    /// When it had to stop by itself: the job store could not be trusted any more.
    pub async fn serve(
        self,
        listeners: impl Into<Listeners>,
        settings: Option<Arc<dyn SettingsSource>>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), StartError> {
        let Self {
            analysis,
            jobs,
            plugins,
            registry: _,
            access,
            service,
            config,
            running,
            workers,
            events,
            reconciler,
            view,
            tasks,
            traces,
            _lock,
        } = self;
        let state = Arc::new(ServerState::starting());
        let edge = Arc::new(EdgeStats::default());
        let services = Services {
            analysis,
            jobs: Arc::clone(&jobs),
            plugins: Arc::clone(&plugins),
            events: Arc::clone(&events),
            state: Arc::clone(&state),
            budget: Budget::new(config.server.budget()),
            edge: Arc::clone(&edge),
            access: Arc::clone(&access),
            requests: Arc::default(),
            tracer: traces.tracer.clone(),
            settings: listen::edge(&config.server, running),
        };
        let limits = HttpLimits {
            max_body: config.server.max_body.as_usize(),
            body_timeout: config.server.body_timeout.duration(),
            streams: config.server.streams(),
            tls: config.server.tls.certificate.is_some(),
        };
        let router = http::router(services, limits);
        let listeners = listeners.into();
        let tls = listeners.tls().cloned();
        let settings = settings.map(|source| {
            let followed = Followed {
                source,
                access,
                tls,
            };
            Arc::new(followed) as Arc<dyn SettingsSource>
        });
        let stop = reconciler.stop();
        watch::start(&config.plugins, view, reconciler, settings, &tasks);
        tasks.spawn(sample::rates(Arc::clone(&plugins), stop.clone()));
        let is_near = config.jobs.store == StorePlace::Sqlite;
        let _watchdog = service::watchdog(service::Pulse {
            service: Arc::clone(&service),
            plugins: Arc::clone(&plugins),
            jobs: is_near.then(|| Arc::clone(&jobs)),
        });
        let loading = Preload {
            plugins,
            events: Arc::clone(&events),
            state: Arc::clone(&state),
            service: Arc::clone(&service),
        };
        tasks.spawn(loading.run());
        let drain = config.server.drain.duration();
        let limits = listen::limits(&config.server);
        let mut failed = None;
        let mut asked = None;
        let stopped = async {
            tokio::select! {
                () = shutdown => {}
                reason = jobs.store_failed() => {
                    events.tell(Event::of(Kind::StoreFailed).reason(&reason));
                    failed = Some(reason);
                }
            }
            asked = Some(Instant::now());
            // What comes now must not be taken for what the next host will find.
            stop.cancel();
            let event = Event::of(Kind::HostStopping);
            events.tell(event.detail("drain_s", drain.as_secs()));
            jobs.stop();
            state.draining();
            service.stopping(drain);
        };
        let shutdown = Shutdown {
            asked: stopped,
            cancel: || jobs.cancel_all(),
        };
        http::serve(listeners, router, limits, shutdown, edge, &tasks).await;
        let passed = asked.map_or(Duration::ZERO, |asked| asked.elapsed());
        jobs.close(drain.saturating_sub(passed)).await;
        // What callers have left behind may still end well, within reason.
        tasks.close();
        let _ = tokio::time::timeout(ABANDONED_CALLS, tasks.wait()).await;
        workers.close();
        traces.close().await;
        info!("stopped");
        failed.map_or(Ok(()), |reason| Err(StartError::StoreFailed(reason)))
    }
}

/// What is done before the host is ready.
struct Preload {
    plugins: Arc<PluginManagementService>,
    events: Arc<EventLog>,
    state: Arc<ServerState>,
    service: Arc<ServiceManager>,
}

impl Preload {
    /// Opens plugins, then calls the host ready.
    async fn run(self) {
        self.plugins.preload().await;
        self.state.ready();
        let serving = self.plugins.list_plugins().len();
        let event = Event::of(Kind::HostReady);
        self.events.tell(event.detail("plugins", serving));
        self.service.ready(&self.plugins);
        for name in self.plugins.missing() {
            warn!(
                plugin = name.as_str(),
                "a required plugin does not serve: the host is not ready"
            );
        }
    }
}

fn lock(folder: &Path) -> Result<File, StartError> {
    let file = open_lock(folder).map_err(|source| state(folder, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(state(folder, source)),
    }
}

/// Nobody else may see the state, or hold the lock.
#[cfg(unix)]
fn open_lock(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folder.join("lock"))
}

#[cfg(not(unix))]
fn open_lock(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    File::options()
        .create(true)
        .append(true)
        .open(folder.join("lock"))
}

fn state(folder: &Path, source: io::Error) -> StartError {
    StartError::State {
        folder: folder.to_owned(),
        source,
    }
}

fn store(config: &Config) -> MemoryStore {
    let kept = config.jobs.retention;
    MemoryStore::new(Retention {
        age: kept.age.duration().min(KEPT_FOR),
        count: kept.count.min(KEPT_ANALYSES),
        bytes: KEPT_RESULTS,
    })
}
