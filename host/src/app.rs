//! The composition root: builds the chain from its settings, starts and stops it. The binary and
//! the tests both begin here.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::jobs::{MemoryStore, Retention};
use crate::loader::{self, ScanError, StagingArea, StagingError};
use crate::registry::PluginRegistry;
use crate::runner::ToolRunner;
use crate::services::{AnalysisService, JobManagementService, PluginManagementService};
use crate::validation::InputLimits;

/// The most bytes of results that are kept in memory for a later look.
const KEPT_RESULTS: usize = 64 << 20;

/// The whole chain, ready to be called.
pub struct App {
    /// Where requests enter.
    pub analysis: Arc<AnalysisService>,
    /// Where jobs are kept.
    pub jobs: Arc<JobManagementService>,
    /// Where plugins are managed.
    pub plugins: Arc<PluginManagementService>,
    config: Config,
    tasks: TaskTracker,
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
    /// Another host uses the folder for its own files.
    #[error("the state folder `{}` is locked: another host uses it; stop it, or give this one its own with --state", .0.display())]
    Locked(PathBuf),
    /// The folder for private copies cannot be used.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The plugins folder cannot be used.
    #[error(transparent)]
    Plugins(#[from] ScanError),
}

impl App {
    /// Builds the chain and takes in what the plugins folder holds, without running any of it.
    ///
    /// # Errors
    /// When the state folder or the plugins folder cannot be used.
    pub fn build(config: Config) -> Result<Self, StartError> {
        let lock = lock(&config.state)?;
        let area = StagingArea::open(&config.state)?;
        let scan = loader::scan(&config.plugins.dir, &area)?;
        let registry = Arc::new(PluginRegistry::default());
        let limits = InputLimits {
            max_pixels: config.server.max_pixels,
        };
        let tasks = TaskTracker::new();
        let runner = ToolRunner::new(Arc::clone(&registry), limits, tasks.clone());
        let named = config.plugins.named.iter();
        let required = named
            .filter(|(_, plugin)| plugin.required)
            .map(|(name, _)| name.clone());
        let plugins = PluginManagementService::new(registry, runner, required.collect());
        plugins.take_over(scan, &config);
        let plugins = Arc::new(plugins);
        let jobs = Arc::new(JobManagementService::new(
            Arc::clone(&plugins),
            store(&config),
        ));
        let default = config.plugins.default.clone();
        let analysis = Arc::new(AnalysisService::new(Arc::clone(&jobs), default));
        Ok(Self {
            analysis,
            jobs,
            plugins,
            config,
            tasks,
            _lock: lock,
        })
    }
}

fn lock(folder: &Path) -> Result<File, StartError> {
    let open = || {
        fs::create_dir_all(folder)?;
        File::options()
            .create(true)
            .append(true)
            .open(folder.join("lock"))
    };
    let file = open().map_err(|source| state(folder, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(state(folder, source)),
    }
}

fn state(folder: &Path, source: io::Error) -> StartError {
    StartError::State {
        folder: folder.to_owned(),
        source,
    }
}

fn store(config: &Config) -> MemoryStore {
    let kept = config.jobs.retention;
    let age = kept.age.duration();
    MemoryStore::new(Retention {
        age,
        count: kept.count,
        bytes: KEPT_RESULTS,
    })
}
