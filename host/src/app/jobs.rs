//! Where jobs are kept: the stores that the settings name, opened. Knows no job.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;
use uuid::Uuid;

use super::{App, StartError};
use crate::config::{Jobs, PayloadPlace, StorePlace};
use crate::jobs::{
    FilePayloads, HostId, ObjectPayloads, PayloadStore, PostgresStore, SharedStore, SqliteStore,
    StoreError, Time,
};
use crate::record;
use crate::services::Keeping;

/// The file in the state folder that says which host this is.
const HOST: &str = "host";
/// The folder in the state folder with the payloads.
const PAYLOADS: &str = "payloads";

/// The file in a folder with payloads that says which store they belong to.
const OWNER: &str = "owner";

/// Why jobs cannot be kept.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The embedded store cannot be opened.
    #[error("the job store: {0}")]
    Sqlite(String),
    /// The server with the store cannot be used.
    #[error("the job store: {0}")]
    Postgres(String),
    /// The place for payloads cannot be used.
    #[error("`jobs.payloads`: {0}")]
    Payloads(String),
    /// The store does not do what it must.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state folder cannot be written.
    #[error("the state folder: {0}")]
    Host(std::io::Error),
}

impl App {
    /// Opens the store of jobs, and keeps and runs jobs from now on.
    ///
    /// # Errors
    /// When the store, or the place for payloads, cannot be used.
    pub async fn keep_jobs(&self) -> Result<(), StartError> {
        let (settings, state) = (&self.config.jobs, &self.config.state);
        let host = host(state).map_err(JobsError::Host)?;
        let store = store(settings, state).await?;
        let payloads = payloads(settings, state)?;
        let sweeps = folder(settings, state).is_none_or(|folder| is_ours(&folder, store.since()));
        let keeping = Keeping {
            store,
            payloads,
            sweeps,
            host,
            running: Arc::clone(&self.running),
            events: Arc::clone(&self.events),
            tracer: self.traces.tracer.clone(),
        };
        self.jobs.keep(keeping).await.map_err(JobsError::Store)?;
        Ok(())
    }
}

/// Which host this is, for as long as it has its state folder.
fn host(state: &Path) -> std::io::Result<HostId> {
    #[derive(Serialize, Deserialize)]
    struct Host {
        id: Uuid,
    }
    let file = state.join(HOST);
    if let Some(Host { id }) = record::read(&file) {
        return Ok(id);
    }
    let id = Uuid::new_v4();
    record::keep(&file, &Host { id })?;
    Ok(id)
}

async fn store(settings: &Jobs, state: &Path) -> Result<SharedStore, JobsError> {
    match &settings.store {
        StorePlace::Sqlite => {
            let folder = state.to_owned();
            let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&folder)).await;
            let opened = opened.map_err(|panic| JobsError::Sqlite(panic.to_string()))?;
            let store = opened.map_err(|error| JobsError::Sqlite(error.to_string()))?;
            Ok(Arc::new(store))
        }
        StorePlace::Postgres(url) => {
            let ca = settings.postgres_ca.as_deref();
            let store = PostgresStore::connect(url.as_str(), ca).await;
            let store = store.map_err(|error| JobsError::Postgres(error.to_string()))?;
            Ok(Arc::new(store))
        }
    }
}

fn payloads(settings: &Jobs, state: &Path) -> Result<Option<Arc<dyn PayloadStore>>, JobsError> {
    let files = |folder| match FilePayloads::open(folder) {
        Ok(files) => Ok(Some(Arc::new(files) as Arc<dyn PayloadStore>)),
        Err(error) => Err(JobsError::Payloads(error.to_string())),
    };
    match (&settings.payloads, folder(settings, state)) {
        (_, Some(folder)) => files(folder),
        (PayloadPlace::S3(url), None) => {
            let objects = ObjectPayloads::open(url, &settings.s3);
            let objects = objects.map_err(|error| JobsError::Payloads(error.to_string()))?;
            Ok(Some(Arc::new(objects)))
        }
        (_, None) => Ok(None),
    }
}

/// The folder with the payloads, where they are files.
fn folder(settings: &Jobs, state: &Path) -> Option<PathBuf> {
    match &settings.payloads {
        PayloadPlace::Files => Some(state.join(PAYLOADS)),
        PayloadPlace::Folder(folder) => Some(folder.clone()),
        PayloadPlace::Database | PayloadPlace::S3(_) => None,
    }
}

/// Whether payloads in a folder belong to the store that keeps jobs since then. What another one needs must not be
/// removed because this one does not know it.
fn is_ours(folder: &Path, since: Time) -> bool {
    #[derive(Serialize, Deserialize)]
    struct Owner {
        since: Time,
    }
    let file = folder.join(OWNER);
    match record::read(&file) {
        Some(owner) => {
            let Owner { since: found } = owner;
            if found != since {
                warn!(
                    file = %file.display(),
                    "the payloads belong to another job store: none is removed; delete this file to make them this one's"
                );
            }
            found == since
        }
        None => record::keep(&file, &Owner { since }).is_ok(),
    }
}
