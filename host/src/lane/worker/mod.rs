//! The `process` lane: plugins' code in workers, which are processes of ours. Whatever it does there
//! costs its own call, and no other.
//!
//! In reading order: `host` is what all workers share, `start` makes one of a process, `process` is
//! one, `seat` carries a call out in it, `heard` is what comes of its frames, `pool` has those of a
//! plugin. `protocol` is what is said, `arena` where requests lie, `output` what plugins print, `death`
//! why a worker died, `breaker` holds back who crashes too often, `probe` opens a library first. `serve` is
//! the worker's own side.

mod arena;
mod breaker;
mod death;
pub mod heard;
mod host;
mod output;
mod pool;
mod probe;
mod process;
pub mod protocol;
mod prove;
mod seat;
mod serve;
mod start;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_plugin::Manifest as FullManifest;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

pub use host::Workers;
pub use prove::{Proof, prove};
pub use serve::enter;

use breaker::Breaker;
use pool::Pool;
use protocol::Aim;
use start::{Plan, StartError, start};

use crate::call::{Call, Crew, Entered, Exhausted, Lane, Listener, Permit, Place};
use crate::config::PluginConfig;
use crate::lane::Ready;
use crate::loader::{Rejection, Staged};
use crate::names::Digest;
use crate::runner::Pass;

/// What a runner allows beyond the grace, because machines are busy.
const SLACK: Duration = Duration::from_secs(2);
/// Room for the manifest, however small a plugin's answers may be.
const LEAST_REPLY: usize = 1 << 20;

/// Makes a staged plugin ready to be called in workers. None is left running, unless it is to be kept warm: the first
/// call starts one; the one that the plugin had to be tried in waits for that, for a moment. What becomes of them,
/// `listener` hears.
///
/// # Errors
/// When it cannot be loaded, or does not start.
pub async fn open(
    host: &Arc<Workers>,
    staged: &Staged,
    config: &PluginConfig,
    listener: &Listener,
) -> Result<Ready, Exhausted> {
    let plan = plan(host, staged, config, listener)?;
    let described = probe::probe(host, staged, &plan).await?;
    let (name, listener) = (staged.manifest.name.clone(), listener.clone());
    let folder = host.state().join("quarantine");
    let breaker = Breaker::load(&folder, staged.digest, name, listener);
    let pool = Pool::new(Arc::clone(host), plan, config, breaker);
    if let Some(tried) = described.tried {
        pool.have_first(tried);
    }
    Ok(ready(Arc::new(ProcessLane(pool)), described.manifest))
}

/// Opens a staged plugin in a worker that is thrown away, to see what its constructors and its first instance do and
/// how it was built, before it is opened anywhere else.
///
/// # Errors
/// When it cannot be loaded, or its first panic would end the host.
pub async fn try_out(
    host: &Arc<Workers>,
    staged: &Staged,
    config: &PluginConfig,
    listener: &Listener,
) -> Result<(), Exhausted> {
    let mut plan = plan(host, staged, config, listener)?;
    plan.aim = Aim::Describe;
    plan.confinement.sandbox = false;
    plan.confinement.uid = None;
    let described = probe::probe(host, staged, &plan).await?;
    if !described.panic_unwinds {
        return Err(probe::for_good(&Rejection::PanicStrategy));
    }
    // What its first instance does is seen there too, and held to no limit that this lane does not have.
    plan.aim = Aim::Serve;
    plan.confinement.memory = u64::MAX;
    plan.confinement.file_size = u64::MAX;
    match start(host, &plan).await {
        // A worker has no environment: what cannot start there may be able to in the host.
        Ok(_) | Err(StartError::Unfit(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Forgets what was noted of libraries, but for those in `kept`. For the start of a host.
pub fn forget_libraries(host: &Workers, kept: &HashSet<Digest>) {
    probe::forget(host, kept);
}

fn plan(
    host: &Workers,
    staged: &Staged,
    config: &PluginConfig,
    listener: &Listener,
) -> Result<Plan, Exhausted> {
    let name = &staged.manifest.name;
    if config.threads > 1 && !staged.manifest.thread_safe {
        return Err(probe::for_good(&Rejection::NotThreadSafe {
            threads: config.threads,
        }));
    }
    Ok(Plan {
        plugin: name.clone(),
        library: staged.path.clone(),
        confinement: host.confinement(name, config),
        aim: Aim::Serve,
        seats: config.threads.min(config.concurrency),
        settings: config.settings.to_string(),
        check_output: config.check_output,
        reply: config.max_output.as_usize().max(LEAST_REPLY),
        limit: config.startup.duration(),
        listener: listener.clone(),
    })
}

fn ready(lane: Arc<dyn Lane>, manifest: FullManifest) -> Ready {
    let FullManifest {
        options_schema,
        output_schema,
        typed_output,
        ..
    } = manifest;
    Ready {
        lane,
        options_schema,
        output_schema,
        typed_output,
        checks_schemas: true,
    }
}

/// Runs in workers.
struct ProcessLane(Arc<Pool>);

impl Lane for ProcessLane {
    fn enter_unguarded(&self, call: Arc<Call>, permit: Permit, _: Pass) -> Entered {
        let pool = Arc::clone(&self.0);
        Entered::Running(async move { pool.run(call, permit).await }.boxed())
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn outlives_deadline(&self) -> bool {
        false
    }

    fn grace(&self) -> Duration {
        self.0.grace() + SLACK
    }

    fn exhausted(&self) -> Option<Exhausted> {
        self.0.breaker.holds_back()
    }

    fn place(&self, bytes: usize) -> Option<Box<dyn Place>> {
        // Where the system has no memory of that kind, the heap may have some.
        let slot = self.0.arenas.take(bytes).ok()?;
        Some(Box::new(slot))
    }

    fn lift(&self) {
        self.0.breaker.close("an operator wants it to try again");
    }

    fn alive(&self) -> usize {
        self.0.alive()
    }

    fn warm(&self, workers: usize) -> BoxFuture<'static, Result<(), Exhausted>> {
        let pool = Arc::clone(&self.0);
        async move { pool.warm_up(workers).await }.boxed()
    }

    fn wind_down(&self) {
        self.0.wind_down();
    }

    fn crew(&self) -> Option<Crew> {
        Some(self.0.crew())
    }

    fn workers(&self) -> Option<Value> {
        Some(self.0.status())
    }
}
