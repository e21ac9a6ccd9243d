//! Says in the log and in the host's events what became of calls and jobs. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::durable::Durable;
use super::held::HeldJob;
use crate::call::Call;
use crate::envelope::Envelope;
use crate::error::{Code, ErrorType};
use crate::events::{Event, Kind};
use crate::jobs::{Record, Status, Time};
use crate::names::PluginName;
use crate::validation::Output;

/// The most calls that wait for the names of their functions.
const MAX_WAITING: usize = 32;

/// Writes what becomes of calls to the log.
pub(super) struct CallLog {
    naming: Arc<Naming>,
    tasks: TaskTracker,
}

/// Calls whose backtraces are being named.
#[derive(Default)]
struct Naming {
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

impl CallLog {
    /// What it writes behind the answers counts in `tasks`.
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self {
            naming: Arc::default(),
            tasks,
        }
    }

    /// Says how a call has ended.
    pub(super) fn tell(&self, call: Named, outcome: &Result<Output, Box<Envelope>>) {
        match outcome {
            Ok(_) => {
                let (request, job, plugin) = (&*call.request, call.job, call.plugin.as_str());
                let (generation, trace) = (call.generation.as_str(), call.trace.as_deref());
                debug!(request, %job, plugin, generation, trace, "call succeeded");
            }
            Err(envelope) if has_backtrace(envelope.code()) => {
                self.tell_later(call, envelope.clone());
            }
            Err(envelope) => tell_failure(&call, envelope),
        }
    }

    /// Naming a backtrace's functions takes long and much memory: the answer does not wait for it,
    /// it is done for one call at a time, and beyond a bound not at all.
    fn tell_later(&self, call: Named, mut envelope: Box<Envelope>) {
        let naming = Arc::clone(&self.naming);
        if naming.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            naming.waiting.fetch_sub(1, Ordering::Relaxed);
            envelope.internal.traceback = "too many at a time to name the functions of each"
                .to_owned()
                .into();
            return tell_failure(&call, &envelope);
        }
        self.tasks.spawn(async move {
            let turn = naming.turn.lock().await;
            let told = tokio::task::spawn_blocking(move || tell_failure(&call, &envelope)).await;
            drop((turn, told));
            naming.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Whether somebody may have to look for the names of functions.
fn has_backtrace(code: Code) -> bool {
    code == Code::Panic || code.is_crash()
}

/// What the log says of a call. Not the call itself: its image need not be kept for that.
pub(super) struct Named {
    request: Arc<str>,
    job: Uuid,
    plugin: PluginName,
    generation: String,
    trace: Option<Arc<str>>,
}

impl Named {
    /// Of a call that somebody waits for.
    pub(super) fn of(call: &Call) -> Self {
        let generation = call.generation().map(|digest| digest.short());
        Self {
            request: Arc::clone(&call.request_id),
            job: call.id,
            plugin: call.plugin.clone(),
            generation: generation.unwrap_or_default(),
            trace: call.trace_id(),
        }
    }

    fn of_job(held: &HeldJob) -> Self {
        let record = &held.record;
        Self {
            request: record.request_id.as_str().into(),
            job: record.id,
            plugin: record.plugin.clone(),
            generation: held.generation().unwrap_or_default(),
            trace: held.trace_id(),
        }
    }
}

/// One line for a call that ended badly, with all that is known.
fn tell_failure(call: &Named, envelope: &Envelope) {
    let (request, job, plugin) = (&*call.request, call.job, call.plugin.as_str());
    let (generation, trace) = (call.generation.as_str(), call.trace.as_deref());
    let (word, error_type) = envelope.code().words();
    // Not `message`: that is what every line has.
    let error = envelope.error.message.as_str();
    let traceback = envelope.internal.traceback.as_str();
    match (envelope.code(), error_type) {
        (Code::Internal, _) => {
            error!(request, %job, plugin, generation, trace, code = word, error, traceback, "call failed");
        }
        (code, ErrorType::Validation) if code != Code::InvalidOutput => {
            info!(request, %job, plugin, generation, trace, code = word, error, "call refused");
        }
        _ => {
            warn!(request, %job, plugin, generation, trace, code = word, error, traceback, "call failed")
        }
    }
}

/// Says how one attempt of a job has ended.
pub(super) fn attempt(durable: &Durable, held: &HeldJob, outcome: &Result<Output, Box<Envelope>>) {
    durable.log.tell(Named::of_job(held), outcome);
}

/// Says that a job is over.
pub(super) fn ended(durable: &Durable, record: &Record, status: Status, code: Option<&str>) {
    durable.ended.count(code.unwrap_or("success"));
    let (kind, code) = match (status, code) {
        (Status::Failed, Some(code)) => (Kind::JobFailed, code),
        (Status::Cancelled, _) => (Kind::JobCancelled, "cancelled"),
        _ => return,
    };
    durable.events.tell(of(kind, record).detail("code", code));
}

/// Says that a job is to be run again.
pub(super) fn handed_back(
    durable: &Durable,
    record: &Record,
    not_before: Time,
    error: Option<&Envelope>,
) {
    let Some(error) = error else {
        return;
    };
    let event = of(Kind::JobRetrying, record).reason(&error.error.message);
    let event = event.detail("code", error.code().as_str());
    let event = event.detail("attempt", record.attempt);
    durable
        .events
        .tell(event.detail("not_before", not_before.to_rfc3339()));
}

fn of(kind: Kind, record: &Record) -> Event {
    let id = record.id.to_string();
    Event::of(kind).plugin(&record.plugin).detail("job", id)
}
