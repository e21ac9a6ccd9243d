//! Owns the records of jobs and delegates their execution. Never runs a plugin itself.
//!
//! An analysis that somebody waits for is a job in memory. Jobs that were submitted are durable: they are in a
//! store, and this host runs those that it has leased there.

mod behind;
mod clock;
mod course;
mod desks;
mod dispatch;
mod durable;
mod held;
mod idempotency;
mod keep;
mod look;
mod open;
mod payloads;
mod run;
mod settle;
mod stored;
mod submit;
mod tell;
mod traces;
mod verdict;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use course::{JobEvent, JobEventKind};
pub use look::Follower;
pub use open::Keeping;
pub use watch::JobCounts;

use crate::call::{Call, Payload, Place};
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::jobs::{
    Cancelled, Job, Kind, Listing, MemoryStore, Priority, Record, Retried, StoredAttachment, Time,
};
use crate::names::PluginName;
use crate::services::PluginManagementService;
use crate::validation::Output;
use behind::Behind;
use durable::{Durable, refused};
use held::Wish;
use stored::error_of;
use tell::{CallLog, Named};

/// Keeps every call as a job.
pub struct JobManagementService {
    plugins: Arc<PluginManagementService>,
    store: Arc<MemoryStore>,
    behind: Arc<Behind>,
    log: Arc<CallLog>,
    durable: OnceLock<Arc<Durable>>,
}

/// On what terms a job is to be run.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The token that it is submitted with, by its id.
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

/// Analyses that somebody waits for.
impl JobManagementService {
    /// A service that keeps the records of analyses in `store`; what it writes to the log behind its answers
    /// counts in `tasks`. Jobs can be submitted once it [keeps](Self::keep) them.
    pub fn new(
        plugins: Arc<PluginManagementService>,
        store: MemoryStore,
        tasks: TaskTracker,
    ) -> Self {
        let store = Arc::new(store);
        Self {
            plugins,
            behind: Arc::new(Behind::new(Arc::clone(&store))),
            store,
            log: Arc::new(CallLog::new(tasks)),
            durable: OnceLock::new(),
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

    /// Tells every call that somebody waits for that nobody does any more.
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
        let unfinished = Unfinished { jobs: self, id };
        let outcome = self.plugins.execute_plugin(Arc::clone(&call)).await;
        std::mem::forget(unfinished);
        self.end(id, outcome.clone());
        self.log.tell(Named::of(&call), &outcome);
        outcome
    }

    /// The first end stands.
    fn end(&self, id: Uuid, outcome: Result<Output, Box<Envelope>>) {
        if self.store.end(id, outcome) && self.durable.get().is_some() {
            self.behind.push(id);
        }
    }

    /// The record of an analysis that is in memory. Only of `owner`, where one is given.
    ///
    /// # Errors
    /// `not_found`, or `expired` for one that is past its retention.
    pub fn get_job(&self, id: &str, owner: Option<&str>) -> Result<Job, CallError> {
        let uuid = look::parse(id)?;
        let is_theirs = |job: &Job| owner.is_none_or(|it| job.owner.as_deref() == Some(it));
        self.store.get(uuid).filter(is_theirs).ok_or_else(|| {
            let id = uuid.to_string();
            if self.store.has_forgotten(uuid) {
                CallError::ExpiredJob { id }
            } else {
                CallError::UnknownJob { id }
            }
        })
    }
}

/// Jobs that were submitted, and analyses where a job is looked at.
impl JobManagementService {
    /// Keeps calls as jobs to be run when there is room: durable when this returns. The outer error is of all of
    /// them, the inner ones are of single calls, in their order.
    ///
    /// # Errors
    /// `storage_full`, `forbidden` for a callback that is not allowed; and of each what can be told before it runs.
    pub async fn submit_jobs(
        &self,
        calls: Vec<Call>,
        terms: Terms,
    ) -> Result<Vec<Result<Submitted, Box<Envelope>>>, CallError> {
        submit::submit(self.durable()?, calls, &terms).await
    }

    /// A job as it stands.
    ///
    /// # Errors
    /// `not_found`, or `expired` for one that is past its retention.
    pub async fn look_up(&self, id: &str, owner: Option<&str>) -> Result<Record, CallError> {
        let in_memory = self.get_job(id, owner);
        match (in_memory, self.durable.get()) {
            (Ok(job), _) => stored::record_for(job).await,
            (Err(_), Some(durable)) => look::record(durable, look::parse(id)?, owner).await,
            (Err(error), None) => Err(error),
        }
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
        match (self.get_job(id, owner), self.durable.get()) {
            (Err(_), Some(durable)) => look::wait(durable, look::parse(id)?, owner, up_to).await,
            // Whoever waits for an analysis has called for it.
            (found, _) => stored::record_for(found?).await,
        }
    }

    /// Jobs in the order of their creation, the latest first.
    ///
    /// # Errors
    /// `internal` where the store cannot be read.
    pub async fn list_jobs(&self, listing: Listing) -> Result<Vec<Record>, CallError> {
        self.durable()?.store.list(listing).await.map_err(refused)
    }

    /// Ends a job, whatever its state; one that has ended stays as it is.
    ///
    /// # Errors
    /// As [`look_up`](Self::look_up).
    pub async fn cancel_job(&self, id: &str, owner: Option<&str>) -> Result<Record, CallError> {
        if let Ok(job) = self.get_job(id, owner) {
            self.store.cancel(job.id);
            return stored::record_for(self.get_job(id, owner)?).await;
        }
        let (durable, uuid) = (self.durable()?, look::parse(id)?);
        let error = error_of(&CallError::Cancelled, None);
        let asked =
            durable
                .store
                .cancel(uuid, owner.map(str::to_owned), error, durable.clock.now());
        match asked.await.map_err(refused)? {
            Cancelled::Ended(record) => {
                durable.endings.tell(uuid);
                durable.callbacks.wake();
                Ok(*record)
            }
            Cancelled::Asked(record) => {
                if let Some(held) = durable.held.find(uuid) {
                    held.end(Wish::Cancel);
                }
                Ok(*record)
            }
            // Says whether it was forgotten.
            Cancelled::Unknown => look::record(durable, uuid, owner).await,
        }
    }

    /// Has a job that failed or was cancelled run once more.
    ///
    /// # Errors
    /// As [`look_up`](Self::look_up); `invalid_input` for one that has not failed.
    pub async fn retry_job(&self, id: &str, owner: Option<&str>) -> Result<Record, CallError> {
        let (durable, uuid) = (self.durable()?, look::parse(id)?);
        if let Ok(job) = self.get_job(id, owner) {
            return Err(not_retried(uuid, stored::status(&job)));
        }
        let retried = durable
            .store
            .retry(uuid, owner.map(str::to_owned), durable.clock.now());
        match retried.await.map_err(refused)? {
            Retried::Pending(record) => {
                durable.desks.look_again();
                Ok(*record)
            }
            Retried::Refused(record) => Err(not_retried(uuid, record.status)),
            Retried::Unknown => look::record(durable, uuid, owner).await,
        }
    }

    /// The JSON of a job's result; `None` where it has none (yet).
    ///
    /// # Errors
    /// `internal` where it cannot be read.
    pub async fn result_of(&self, record: &Record) -> Result<Option<Payload>, CallError> {
        match &record.outcome {
            None => Ok(None),
            Some(outcome) => look::result(self.durable()?, outcome).await,
        }
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
        let unknown = || CallError::UnknownAttachment {
            id: record.id.to_string(),
            name: name.escape_default().take(64).collect(),
        };
        let outcome = record.outcome.as_ref().ok_or_else(unknown)?;
        let output = outcome.as_ref().map_err(|_| unknown())?;
        let index = output.find_attachment(name).ok_or_else(unknown)?;
        let attachment = output.attachments[index].clone();
        let bytes = match record.kind {
            Kind::Submitted => look::attachment(self.durable()?, &attachment).await?,
            Kind::Analysis => self
                .store
                .attachment(record.id, index)
                .ok_or_else(unknown)?,
        };
        Ok((attachment, bytes))
    }

    /// What happened to a job after the event numbered `after` (0 for all that is kept), as it happens. Ends after
    /// [`JobEventKind::Ended`].
    ///
    /// # Errors
    /// As [`look_up`](Self::look_up).
    pub async fn follow_job(
        &self,
        id: &str,
        owner: Option<&str>,
        after: u64,
    ) -> Result<Follower, CallError> {
        let (record, durable) = (self.look_up(id, owner).await?, self.durable()?);
        Ok(Follower::new(Arc::clone(durable), &record, owner, after))
    }

    /// Whether a host serves a plugin, of those that share the store: another one may run its jobs.
    pub fn is_served(&self, plugin: &PluginName) -> bool {
        let is_elsewhere = |durable: &Arc<Durable>| durable.served.load().contains(plugin);
        self.plugins.is_callable(plugin) || self.durable.get().is_some_and(is_elsewhere)
    }

    /// What time it is for jobs.
    pub fn time(&self) -> Time {
        let durable = self.durable.get();
        durable.map_or_else(chrono::Utc::now, |durable| durable.clock.now())
    }

    fn durable(&self) -> Result<&Arc<Durable>, CallError> {
        let missing = || CallError::internal("jobs are not kept here".to_owned());
        self.durable.get().ok_or_else(missing)
    }
}

fn not_retried(id: Uuid, status: crate::jobs::Status) -> CallError {
    CallError::NotRetried {
        id: id.to_string(),
        status: status.as_str(),
    }
}

/// Ends the record of a job whose caller went away while it ran.
struct Unfinished<'a> {
    jobs: &'a JobManagementService,
    id: Uuid,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let cancelled = Envelope::new(&CallError::Cancelled, None);
        self.jobs.end(self.id, Err(Box::new(cancelled)));
    }
}

/// A job that waits, for tests of the parts.
#[cfg(test)]
fn test_record() -> Record {
    let call = Call::new(
        crate::names::PluginName::parse("any").expect("a name"),
        Payload::Heap(bytes::Bytes::from_static(b"x")),
        "image/png".to_owned(),
    );
    let mut record = stored::record_of(&Job::pending(Arc::new(call)));
    (record.kind, record.max_attempts) = (Kind::Submitted, 3);
    record
}
