//! The first time that a library is opened: in a worker that is thrown away, within a time. What it
//! said is kept by the library's hash, so that the next host need not ask again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_plugin::Manifest as FullManifest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};

use super::host::Workers;
use super::protocol::BUILD;
use super::start::{Plan, StartError, start};
use crate::loader::{self, Rejection, Staged, Symbols};
use crate::names::Digest;

/// What a library has said of itself.
pub(super) struct Described {
    pub(super) manifest: FullManifest,
    pub(super) panic_unwinds: bool,
}

/// What is kept of it.
#[derive(Serialize, Deserialize)]
struct Record {
    manifest: String,
    panic_unwinds: bool,
}

/// Why a plugin cannot be opened.
#[derive(Debug)]
pub struct Refusal {
    /// What was found, and what to do.
    pub reason: String,
    /// Whether that says nothing of the plugin, so that it is worth trying again.
    pub is_passing: bool,
}

impl Refusal {
    pub(super) fn of(rejection: &Rejection) -> Self {
        Self {
            reason: rejection.explain(),
            is_passing: false,
        }
    }
}

/// Opens a library by `plan` in a worker, unless that has been done already.
pub(super) async fn probe(
    host: &Arc<Workers>,
    folder: &Path,
    staged: &Staged,
    plan: &Plan,
) -> Result<Described, Refusal> {
    let file = record_file(folder, staged.digest, plan);
    let kept = fs::read(&file).ok();
    let kept = kept.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    // A record that says something else than the library was damaged: it is asked again.
    if let Some(described) = kept.and_then(|record| read(staged, &record).ok()) {
        return Ok(described);
    }
    let record = ask(host, plan).await?;
    let described = read(staged, &record).map_err(|rejection| Refusal::of(&rejection))?;
    keep(&file, &record);
    Ok(described)
}

fn read(staged: &Staged, record: &Record) -> Result<Described, Rejection> {
    Ok(Described {
        manifest: loader::described(staged, &record.manifest)?,
        panic_unwinds: record.panic_unwinds,
    })
}

async fn ask(host: &Arc<Workers>, plan: &Plan) -> Result<Record, Refusal> {
    let started = start(host, plan).await.map_err(|error| {
        if let StartError::Died(death) = &error {
            let account = death.tell(&Symbols::new(plan.library.clone(), None));
            warn!(
                plugin = plan.plugin.as_str(),
                account, "a worker died of loading the plugin"
            );
        }
        Refusal {
            reason: error.to_string(),
            is_passing: error.is_passing(),
        }
    })?;
    debug!(plugin = plan.plugin.as_str(), measures = ?started.readiness.in_force.measures, "probed");
    let manifest = String::from_utf8(started.text);
    let manifest = manifest.map_err(|_| Refusal {
        reason: "load_failed: its manifest is no UTF-8; build it with the SDK".to_owned(),
        is_passing: false,
    })?;
    Ok(Record {
        manifest,
        panic_unwinds: started.readiness.panic_unwinds,
    })
}

/// All that the answer depends on is in the name, the host's own build included.
fn record_file(folder: &Path, digest: Digest, plan: &Plan) -> PathBuf {
    let confinement = serde_json::to_vec(&plan.confinement).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(BUILD);
    hash.update(format!("{:?}", plan.aim));
    hash.update(&plan.settings);
    hash.update(confinement);
    let key = Digest::new(hash.finalize().into());
    folder.join(format!("{digest}-{}.json", key.short()))
}

/// Where it cannot be kept, the next host asks again.
fn keep(file: &Path, record: &Record) {
    let kept = || {
        let folder = file.parent().expect("it was joined to one");
        fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(&serde_json::to_vec(record)?)?;
        new.persist(file)?;
        std::io::Result::Ok(())
    };
    if let Err(error) = kept() {
        warn!(%error, "cannot keep what a plugin has said of itself");
    }
}
