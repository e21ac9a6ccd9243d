//! Owns the records of jobs and delegates their execution. Never runs a plugin itself.

mod course;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::call::{Call, Payload, Place};
use crate::envelope::Envelope;
use crate::error::{CallError, Code, ErrorType};
use crate::jobs::{Job, Listing, MemoryStore, Priority, Record, StoredAttachment, Time};
use crate::names::PluginName;
pub use course::{JobEvent, JobEventKind};

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

/// On what terms a job is to be run.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The token that it is submitted with, by its name.
    pub owner: Option<String>,
    /// Which of the jobs that wait comes first.
    pub priority: Priority,
    /// Not to be run before; `None` for at once.
    pub not_before: Option<Time>,
    /// How often it may be begun; `None` for as often as the operator says.
    pub max_attempts: Option<u32>,
    /// The submitter's own word, which makes a second submission the same job.
    pub idempotency_key: Option<String>,
    /// Whom to tell of its end.
    pub callback_url: Option<String>,
}

/// A job that is durable.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// As it stands.
    pub record: Record,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Jobs that were submitted.
impl JobManagementService {
    /// Keeps calls as jobs to be run when there is room. When it returns they are durable. The outer error is of
    /// the store, the inner ones are of single calls, in their order.
    pub async fn submit_jobs(
        &self,
        calls: Vec<Call>,
        terms: Terms,
    ) -> Result<Vec<Result<Submitted, Box<Envelope>>>, CallError> {
        let _ = (calls, terms);
        todo!()
    }

    /// A job as it stands, once it has ended or `up_to` is over.
    ///
    /// # Errors
    /// As [`look_up`](Self::look_up).
    pub async fn wait_job(
        &self,
        id: &str,
        owner: Option<&str>,
        up_to: Duration,
    ) -> Result<Record, CallError> {
        let _ = (id, owner, up_to);
        todo!()
    }

    /// A job as it stands.
    ///
    /// # Errors
    /// `not_found`, or `expired` for one that is past its retention.
    pub async fn look_up(&self, id: &str, owner: Option<&str>) -> Result<Record, CallError> {
        let _ = (id, owner);
        todo!()
    }

    /// Jobs in the order of their creation, the latest first.
    pub async fn list_jobs(&self, listing: Listing) -> Result<Vec<Record>, CallError> {
        let _ = listing;
        todo!()
    }

    /// Ends a job, whatever its state; one that has ended stays as it is.
    pub async fn cancel_job(&self, id: &str, owner: Option<&str>) -> Result<Record, CallError> {
        let _ = (id, owner);
        todo!()
    }

    /// Has a job that failed or was cancelled run once more.
    ///
    /// # Errors
    /// `invalid_input` for one that has not failed.
    pub async fn retry_job(&self, id: &str, owner: Option<&str>) -> Result<Record, CallError> {
        let _ = (id, owner);
        todo!()
    }

    /// The JSON of a job's result; `None` where it has none (yet).
    pub async fn result_of(&self, record: &Record) -> Result<Option<Payload>, CallError> {
        let _ = record;
        todo!()
    }

    /// The bytes of an attachment of a job, by its file name.
    ///
    /// # Errors
    /// `not_found` where it has none of that name.
    pub async fn attachment_of(
        &self,
        record: &Record,
        name: &str,
    ) -> Result<(StoredAttachment, Payload), CallError> {
        let _ = (record, name);
        todo!()
    }

    /// What happened to a job after the event numbered `after` (0 for all that is kept), as it happens. Ends after
    /// [`JobEventKind::Ended`].
    pub async fn follow_job(
        &self,
        id: &str,
        owner: Option<&str>,
        after: u64,
    ) -> Result<Follower, CallError> {
        let _ = (id, owner, after);
        todo!()
    }
}

/// Follows one job.
pub struct Follower(());

impl Follower {
    /// What happened next, once it does; `None` after the last.
    pub async fn next(&mut self) -> Option<JobEvent> {
        todo!()
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
