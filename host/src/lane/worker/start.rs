//! From a process that waits to a worker with a plugin: hands it what it needs, and hears whether it
//! can begin. Knows no call.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::death::{self, Death};
use super::host::{Fresh, Workers};
use super::process::Worker;
use super::protocol::{self, Aim, BadFrame, FromWorker, Load, NO_CALL, Readiness, ToWorker};
use super::seat::Seat;
use crate::call::{Exhausted, Listener};
use crate::loader::Rejection;
use crate::names::PluginName;
use crate::platform::{
    Channel, Confinement, Handle, MAX_FRAME, Pending, Process, ReplyMemory, RequestMemory, Side,
};

/// When it is worth trying again where the system had no worker.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the account of a death may keep an answer waiting.
const ACCOUNT_WITHIN: Duration = Duration::from_millis(200);

/// How a plugin's workers are started.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) plugin: PluginName,
    /// The staged library.
    pub(super) library: PathBuf,
    pub(super) confinement: Confinement,
    pub(super) aim: Aim,
    pub(super) seats: usize,
    /// A JSON text.
    pub(super) settings: String,
    /// Whether answers are held to the plugin's own schema.
    pub(super) check_output: bool,
    /// The most bytes of a reply.
    pub(super) reply: usize,
    /// How long it may take.
    pub(super) limit: Duration,
    /// Who hears what becomes of its workers.
    pub(super) listener: Listener,
}

/// A worker that can begin.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) worker: Arc<Worker>,
    pub(super) seats: Vec<Seat>,
    pub(super) readiness: Readiness,
    /// What it has written: the plugin's manifest, or what attempts came to.
    pub(super) text: Vec<u8>,
}

/// Why there is no worker.
#[derive(Debug, Error)]
pub(super) enum StartError {
    /// The system gives no process, memory or descriptor.
    #[error("no_capacity: the system gives no worker: {0}; it is tried again with the next call")]
    NoCapacity(io::Error),
    /// The private copy of the plugin is gone.
    #[error(
        "no_library: the host's private copy of the plugin cannot be opened: {0}; restart the host, which makes another"
    )]
    NoLibrary(io::Error),
    /// It said that it cannot.
    #[error("{0}")]
    Unfit(String),
    /// It has died over it.
    #[error("{}", crashed(.0))]
    Died(Box<Death>),
    /// It took too long.
    #[error("{}", Rejection::load_hung(*.0).explain())]
    Hung(Duration),
    /// It said what makes no sense.
    #[error("protocol: {0}; restart the host")]
    Broken(String),
    /// It is not shut in as it must be.
    #[error("sandbox: `sandbox = \"required\"`, and this is not in force: {0}")]
    Open(String),
}

fn crashed(death: &Death) -> String {
    Rejection::load_crashed(&death.to_string()).explain()
}

impl StartError {
    pub(super) fn broken(problem: impl Display) -> Self {
        Self::Broken(problem.to_string())
    }

    /// Whether it says nothing of the plugin, so that it is worth trying again.
    fn is_passing(&self) -> bool {
        match self {
            Self::NoCapacity(_) | Self::Broken(_) => true,
            Self::NoLibrary(_) | Self::Unfit(_) | Self::Died(_) | Self::Hung(_) | Self::Open(_) => {
                false
            }
        }
    }
}

impl From<StartError> for Exhausted {
    fn from(error: StartError) -> Self {
        Self {
            reason: error.to_string(),
            retry_after: error.is_passing().then_some(RETRY_AFTER),
        }
    }
}

impl From<BadFrame> for StartError {
    fn from(error: BadFrame) -> Self {
        Self::broken(error)
    }
}

/// Starts a worker by `plan`.
pub(super) async fn start(host: &Arc<Workers>, plan: &Plan) -> Result<Started, StartError> {
    let fresh = host.fresh().await?;
    let started = tokio::time::timeout(plan.limit, load(fresh, host.side(), plan)).await;
    let started = started.unwrap_or(Err(StartError::Hung(plan.limit)))?;
    let missing = &started.readiness.in_force.missing;
    if host.insists() && (!host.shuts_in() || !missing.is_empty()) {
        return Err(StartError::Open(missing.join(", ")));
    }
    Ok(started)
}

async fn load(fresh: Fresh, side: &Side, plan: &Plan) -> Result<Started, StartError> {
    let Fresh {
        process,
        mut channel,
        printed,
    } = fresh;
    printed.belongs_to(plan.plugin.clone());
    let shared = plan.reply.saturating_mul(plan.seats) as u64;
    let limited = process.process().limit(&plan.confinement, shared);
    limited.map_err(StartError::NoCapacity)?;
    let replies = (0..plan.seats).map(|_| ReplyMemory::create(side, plan.reply));
    let replies = replies.collect::<io::Result<Vec<_>>>();
    let replies: Vec<_> = replies
        .map_err(StartError::NoCapacity)?
        .into_iter()
        .map(Arc::new)
        .collect();
    // The order's memory is there until it was carried out.
    let (others, _order) = hand_over(&mut channel, side, plan, &replies).await?;
    let mut channels = vec![channel];
    for pending in others {
        channels.push(pending.taken().await.map_err(StartError::NoCapacity)?);
    }
    let readiness = match hear(&mut channels[0], process.process()).await? {
        Some(readiness) => readiness,
        None => {
            let exit = tokio::time::timeout(ACCOUNT_WITHIN, process.process().ended()).await;
            let report = replies[0].crash();
            printed.has_arrived().await;
            let death = death::account(exit.ok(), report, &printed, plan.confinement.memory);
            return Err(StartError::Died(Box::new(death)));
        }
    };
    let text = replies[0].read(0, readiness.length);
    let text = text.ok_or_else(|| StartError::broken("its manifest is longer than its memory"))?;
    let worker = Worker::new(
        process,
        printed,
        plan,
        readiness.base,
        Arc::clone(&replies[0]),
    );
    let pairs = channels.into_iter().zip(replies).enumerate();
    let seats = pairs
        .map(|(index, (channel, replies))| Seat::new(Arc::clone(&worker), index, channel, replies));
    Ok(Started {
        seats: seats.collect(),
        worker,
        readiness,
        text,
    })
}

/// Sends the one frame that says all, and gives the channels that the worker has yet to take.
async fn hand_over(
    channel: &mut Channel,
    side: &Side,
    plan: &Plan,
    replies: &[Arc<ReplyMemory>],
) -> Result<(Vec<Pending>, Arc<RequestMemory>), StartError> {
    let load = Load {
        confinement: plan.confinement.clone(),
        aim: plan.aim,
        seats: plan.seats,
        settings: plan.settings.clone(),
        check_output: plan.check_output,
        host: std::process::id(),
    };
    let load = serde_json::to_vec(&load).map_err(StartError::broken)?;
    let no_capacity = StartError::NoCapacity;
    let (memory, mut chunks) = RequestMemory::create(side, &[load.len()]).map_err(no_capacity)?;
    chunks[0].bytes_mut().copy_from_slice(&load);
    let library = Handle::of_file(side, &plan.library).map_err(no_library)?;
    let mut handles = vec![memory.handle().map_err(no_capacity)?, library];
    for replies in replies {
        handles.push(replies.handle().map_err(no_capacity)?);
    }
    let mut others = Vec::new();
    for _ in 1..plan.seats {
        let (pending, handle) = Pending::new(side).map_err(no_capacity)?;
        others.push(pending);
        handles.push(handle);
    }
    let mut frame = Vec::new();
    let length = load.len();
    protocol::encode(NO_CALL, &ToWorker::Load { length }, &mut frame)?;
    channel
        .send(&frame, &handles)
        .await
        .map_err(StartError::broken)?;
    Ok((others, memory))
}

/// A copy that cannot be opened just now is no copy that is gone.
fn no_library(error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::NotFound => StartError::NoLibrary(error),
        _ => StartError::NoCapacity(error),
    }
}

/// Waits for the worker's word; nothing if it died instead.
async fn hear(channel: &mut Channel, process: &Process) -> Result<Option<Readiness>, StartError> {
    let mut buffer = vec![0; MAX_FRAME];
    let heard = tokio::select! {
        biased;
        heard = channel.recv(&mut buffer) => heard,
        // What it has said before is still there.
        _ = process.ended() => channel.try_recv(&mut buffer),
    };
    let length = match heard {
        Ok(Some(length)) => length,
        Ok(None) => return Ok(None),
        Err(error) if is_death(&error) => return Ok(None),
        Err(error) => return Err(StartError::broken(error)),
    };
    match protocol::decode(&buffer[..length])? {
        (NO_CALL, FromWorker::Ready(readiness)) => Ok(Some(readiness)),
        (NO_CALL, FromWorker::Unfit { reason }) => Err(StartError::Unfit(reason.into_owned())),
        (NO_CALL, FromWorker::Crash) => Ok(None),
        (_, other) => Err(BadFrame::OutOfTurn(other.name()).into()),
    }
}

/// Whether a channel's error means no more than that its other end is gone.
fn is_death(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionReset, WouldBlock};
    matches!(error.kind(), ConnectionReset | WouldBlock)
}
