//! Owns the records of jobs and delegates their execution. Never runs a plugin itself.

use std::sync::Arc;

use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::call::Call;
use crate::envelope::Envelope;
use crate::error::{CallError, Code, ErrorType};
use crate::jobs::{Job, MemoryStore};
use crate::services::PluginManagementService;
use crate::validation::Output;

/// Keeps every call as a job.
pub struct JobManagementService {
    plugins: Arc<PluginManagementService>,
    store: MemoryStore,
}

impl JobManagementService {
    /// A service that keeps its records in `store`.
    pub fn new(plugins: Arc<PluginManagementService>, store: MemoryStore) -> Self {
        Self { plugins, store }
    }

    /// Keeps a call as a job that is pending, and gives its id.
    pub fn create_job(&self, call: Arc<Call>) -> Uuid {
        let id = call.id;
        self.store.insert(Job::pending(call));
        id
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
        tell(&call, &outcome);
        outcome
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

/// One line for each call that ended, and all that is known where it ended badly.
fn tell(call: &Call, outcome: &Result<Output, Box<Envelope>>) {
    let (request, job, plugin) = (&*call.request_id, call.id, call.plugin.as_str());
    let generation = call
        .generation()
        .map(|digest| digest.short())
        .unwrap_or_default();
    let Err(envelope) = outcome else {
        return debug!(request, %job, plugin, generation, "call succeeded");
    };
    let (code, message) = (envelope.code(), envelope.error.message.as_str());
    let traceback = envelope.internal.traceback.as_str();
    let word = code.as_str();
    match code.words().1 {
        ErrorType::Validation if code != Code::InvalidOutput => {
            info!(request, %job, plugin, code = word, message, "call refused");
        }
        _ if code == Code::Internal => {
            error!(request, %job, plugin, generation, code = word, message, traceback, "call failed");
        }
        _ => {
            warn!(request, %job, plugin, generation, code = word, message, traceback, "call failed")
        }
    }
}
