//! The first time that a library is opened: in a worker that has no calls yet, within a time. What it
//! said is kept by the library's hash, so that the next host need not ask again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_plugin::Manifest as FullManifest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};

use super::host::Workers;
use super::protocol::BUILD;
use super::start::{Plan, StartError, Started, start};
use crate::call::Exhausted;
use crate::loader::{self, Rejection, Staged, Symbols};
use crate::names::Digest;
use crate::record;

/// What a library has said of itself.
pub(super) struct Described {
    pub(super) manifest: FullManifest,
    pub(super) panic_unwinds: bool,
    /// The worker that it was asked in, where it had to be.
    pub(super) tried: Option<Started>,
}

/// What is kept of it.
#[derive(Serialize, Deserialize)]
struct Record {
    manifest: String,
    panic_unwinds: bool,
}

/// Opens a library by `plan` in a worker, unless that has been done already.
pub(super) async fn probe(
    host: &Arc<Workers>,
    staged: &Staged,
    plan: &Plan,
) -> Result<Described, Exhausted> {
    let file = record_file(&host.state().join("probes"), staged.digest, plan);
    let kept = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || record::read::<Record>(&file)).await
    };
    // A record that says something else than the library was damaged: it is asked again.
    let kept = kept.ok().flatten();
    if let Some(described) = kept.and_then(|record| read(staged, &record).ok()) {
        return Ok(described);
    }
    let (record, tried) = ask(host, plan).await?;
    let described = read(staged, &record).map_err(|rejection| for_good(&rejection))?;
    // Nobody waits for it.
    tokio::task::spawn_blocking(move || keep(&file, &record));
    Ok(Described {
        tried: Some(tried),
        ..described
    })
}

/// Where it cannot be kept, the next host asks again.
fn keep(file: &Path, record: &Record) {
    if let Err(error) = record::keep(file, record) {
        warn!(%error, "cannot keep what a plugin has said of itself");
    }
}

fn read(staged: &Staged, record: &Record) -> Result<Described, Rejection> {
    Ok(Described {
        manifest: loader::described(staged, &record.manifest)?,
        panic_unwinds: record.panic_unwinds,
        tried: None,
    })
}

async fn ask(host: &Arc<Workers>, plan: &Plan) -> Result<(Record, Started), Exhausted> {
    let mut started = start(host, plan).await.map_err(|error| {
        if let StartError::Died(death) = &error {
            let account = death.tell(&Symbols::new(plan.library.clone(), None));
            warn!(
                plugin = plan.plugin.as_str(),
                account, "a worker died of loading the plugin"
            );
        }
        Exhausted::from(error)
    })?;
    debug!(plugin = plan.plugin.as_str(), measures = ?started.readiness.in_force.measures, "probed");
    let manifest = String::from_utf8(std::mem::take(&mut started.text));
    let manifest = manifest.map_err(|_| Exhausted {
        reason: "load_failed: its manifest is no UTF-8; build it with the SDK".to_owned(),
        retry_after: None,
    })?;
    let record = Record {
        manifest,
        panic_unwinds: started.readiness.panic_unwinds,
    };
    Ok((record, started))
}

/// What keeps a library from being opened until it is another.
pub(super) fn for_good(rejection: &Rejection) -> Exhausted {
    Exhausted {
        reason: rejection.explain(),
        retry_after: None,
    }
}

/// All that the answer depends on is in the name, the host's own build included.
fn record_file(folder: &Path, digest: Digest, plan: &Plan) -> PathBuf {
    let confinement = serde_json::to_vec(&plan.confinement).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(BUILD);
    hash.update(format!("{:?}", plan.aim));
    hash.update(&plan.settings);
    hash.update([u8::from(plan.check_output)]);
    hash.update(confinement);
    let key = Digest::new(hash.finalize().into());
    folder.join(format!("{digest}-{}.json", key.short()))
}
