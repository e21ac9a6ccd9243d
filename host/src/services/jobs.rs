//! Owns the records of jobs and delegates their execution. Never runs a plugin itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::call::{Call, Place};
use crate::envelope::Envelope;
use crate::error::{CallError, Code, ErrorType};
use crate::jobs::{Job, MemoryStore};
use crate::names::PluginName;
use crate::services::PluginManagementService;
use crate::validation::Output;

/// Keeps every call as a job.
pub struct JobManagementService {
    plugins: Arc<PluginManagementService>,
    store: MemoryStore,
    tasks: TaskTracker,
    naming: Arc<Naming>,
}

/// Calls whose backtraces are being named.
#[derive(Default)]
struct Naming {
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// The most calls that wait for the names of their functions.
const MAX_WAITING: usize = 32;

impl JobManagementService {
    /// A service that keeps its records in `store`; what it writes to the log behind its answers
    /// counts in `tasks`.
    pub fn new(
        plugins: Arc<PluginManagementService>,
        store: MemoryStore,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            plugins,
            store,
            tasks,
            naming: Arc::default(),
        }
    }

    /// Keeps a call as a job that is pending, and gives its id.
    pub fn create_job(&self, call: Arc<Call>) -> Uuid {
        let id = call.id;
        self.store.insert(Job::pending(call));
        id
    }

    /// Memory of a plugin's lane for an image of `bytes` bytes, if it has any to give.
    pub fn place(&self, plugin: &str, bytes: usize) -> Option<Box<dyn Place>> {
        self.plugins.place(plugin, bytes)
    }

    /// Tells every call that is not over that nobody waits for it any more.
    pub fn cancel_all(&self) {
        self.store
            .unfinished()
            .iter()
            .for_each(|call| call.cancel());
    }

    /// Runs a pending job to its end.
    ///
    /// # Errors
    /// The envelope that the job is `FAILED` or `CANCELLED` with; `not_found` for an id that is no
    /// pending job.
    pub async fn run_job(&self, id: Uuid) -> Result<Output, Box<Envelope>> {
        let Some(call) = self.store.start(id) else {
            let unknown = CallError::UnknownJob { id: id.to_string() };
            return Err(Box::new(Envelope::new(&unknown, None)));
        };
        let _unfinished = Unfinished {
            store: &self.store,
            id,
        };
        let outcome = self.plugins.execute_plugin(Arc::clone(&call)).await;
        self.store.end(id, outcome.clone());
        self.tell(&call, &outcome);
        outcome
    }

    fn tell(&self, call: &Call, outcome: &Result<Output, Box<Envelope>>) {
        match outcome {
            Ok(_) => {
                debug!(request = &*call.request_id, job = %call.id, plugin = call.plugin.as_str(), "call succeeded")
            }
            Err(envelope) if has_backtrace(envelope.code()) => {
                self.tell_later(Named::of(call), envelope.clone())
            }
            Err(envelope) => tell_failure(&Named::of(call), envelope),
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

    /// The job's record.
    ///
    /// # Errors
    /// `not_found`, or `expired` for one that is past its retention.
    pub fn get_job(&self, id: &str) -> Result<Job, CallError> {
        let unknown = || CallError::UnknownJob {
            id: id.escape_default().take(64).collect(),
        };
        let uuid = Uuid::parse_str(id).map_err(|_| unknown())?;
        self.store.get(uuid).ok_or_else(|| {
            let expired = self.store.has_forgotten(uuid);
            if expired {
                CallError::ExpiredJob {
                    id: uuid.to_string(),
                }
            } else {
                unknown()
            }
        })
    }
}

/// Ends the record of a job whose caller went away while it ran.
struct Unfinished<'a> {
    store: &'a MemoryStore,
    id: Uuid,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Without effect where the job has ended: the first end stands.
        self.store.end(
            self.id,
            Err(Box::new(Envelope::new(&CallError::Cancelled, None))),
        );
    }
}

/// Whether somebody may have to look for the names of functions.
fn has_backtrace(code: Code) -> bool {
    code == Code::Panic || code.is_crash()
}

/// What the log says of a call. Not the call itself: its image need not be kept for that.
struct Named {
    request: Arc<str>,
    job: Uuid,
    plugin: PluginName,
    generation: String,
}

impl Named {
    fn of(call: &Call) -> Self {
        let generation = call.generation().map(|digest| digest.short());
        Self {
            request: Arc::clone(&call.request_id),
            job: call.id,
            plugin: call.plugin.clone(),
            generation: generation.unwrap_or_default(),
        }
    }
}

/// One line for a call that ended badly, with all that is known.
fn tell_failure(call: &Named, envelope: &Envelope) {
    let (request, job, plugin) = (&*call.request, call.job, call.plugin.as_str());
    let generation = call.generation.as_str();
    let (word, error_type) = envelope.code().words();
    let message = envelope.error.message.as_str();
    let traceback = envelope.internal.traceback.as_str();
    match (envelope.code(), error_type) {
        (Code::Internal, _) => {
            error!(request, %job, plugin, generation, code = word, message, traceback, "call failed");
        }
        (code, ErrorType::Validation) if code != Code::InvalidOutput => {
            info!(request, %job, plugin, generation, code = word, message, "call refused");
        }
        _ => {
            warn!(request, %job, plugin, generation, code = word, message, traceback, "call failed")
        }
    }
}
