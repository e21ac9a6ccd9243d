//! What a store of jobs can do, whichever it is. Knows no store in particular, and no plugin.
//!
//! Whatever changes a job is durable when the future is ready, and not before. Every moment is handed in: no store
//! asks a clock but in [`JobStore::time`]. Futures may be dropped at any time; what they were to do may then be done
//! or not, but never by half.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::record::{
    Callback, Image, Kind, Lease, Priority, Record, Status, StoredError, StoredOutcome, Time,
};
use crate::names::{Digest, PluginName};

/// What a store answers, later.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A host, for as long as it has its state folder.
pub type HostId = Uuid;

/// Keeps jobs over the end of the host.
pub trait JobStore: Send + Sync {
    /// What time it is for this store: one clock for all hosts that share it.
    fn time(&self) -> Reply<'_, Time>;

    /// Whether other hosts may work on the same jobs: then a lease that has run out is nobody's.
    fn is_shared(&self) -> bool {
        true
    }

    /// Since when it keeps jobs: an older id was never in it.
    fn since(&self) -> Time;

    /// Adds jobs, all of them or, on an error, none. A job whose idempotency key its owner has used is not added:
    /// the answer is the job of then, or `Conflict` where the digest is another. A new job whose `claim` is set is
    /// `RUNNING` at once: attempt 1, fence 1, `started_at` its `created_at`, held by that host until then; otherwise
    /// it is `PENDING` with attempt 0 and fence 0. Answers are in the order of `jobs`.
    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>>;

    /// Notes analyses that are over, for a later look. Each has its final status; a second note of the same id
    /// changes nothing.
    fn note(&self, ended: Vec<Record>) -> Reply<'_, ()>;

    /// Makes `PENDING` jobs whose time has come `RUNNING`: for each plugin at most as many as are wanted, by
    /// priority, then `not_before`, then id. `attempt` and `fence` go up by one, even beyond `max_attempts`: the
    /// caller ends such a job. No job is claimed twice, whoever else claims at the same time.
    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Record>>;

    /// Prolongs leases, and notes how far their jobs have come.
    fn renew(&self, renewals: Vec<Renewal>, until: Time) -> Reply<'_, Vec<Held>>;

    /// Ends a job for good, under its lease, whatever else was asked meanwhile: `SUCCESS`, or `FAILED` or
    /// `CANCELLED` as `status` says. Here as wherever a job ends, `attempt` becomes `max_attempts` where it was beyond,
    /// and a callback is due from then on. False where the lease counts no more: then nothing is changed.
    fn finish(&self, end: End) -> Reply<'_, bool>;

    /// Lets a job wait again, under its lease: `PENDING`, no host, no lease; `CANCELLED` instead where that was
    /// asked for, with the error of `back` and a callback that is due. False where the lease counts no more.
    fn hand_back(&self, back: HandBack) -> Reply<'_, bool>;

    /// Has jobs that were left by their hosts wait again: `PENDING`, due at `now`. The attempt stays counted. A job
    /// that somebody wanted to end is `CANCELLED` instead, with `cancelled` as its error. Gives how many there were.
    fn reclaim(&self, which: Reclaim, cancelled: StoredError, now: Time) -> Reply<'_, u64>;

    /// Ends a job: at once where it is `PENDING`, else by asking who runs it. Only jobs of `owner`, where one is given.
    fn cancel(
        &self,
        id: Uuid,
        owner: Option<String>,
        error: StoredError,
        now: Time,
    ) -> Reply<'_, Cancelled>;

    /// Ends a job that is `PENDING` as `FAILED`. False where it is not (any more). A callback is due from then on.
    fn fail_pending(&self, id: Uuid, error: StoredError, now: Time) -> Reply<'_, bool>;

    /// Has a job that `FAILED` or was `CANCELLED` run once more: `PENDING`, due at `now`, attempt 0, without outcome,
    /// log, generation, `started_at`, `finished_at`, progress, and with its callback not told yet. The fence stays.
    fn retry(&self, id: Uuid, owner: Option<String>, now: Time) -> Reply<'_, Retried>;

    /// A job as it stands, with all there is. Only of `owner`, where one is given.
    fn get(&self, id: Uuid, owner: Option<String>) -> Reply<'_, Option<Record>>;

    /// Jobs in the order of their creation, the latest first; without results, logs and options.
    fn list(&self, listing: Listing) -> Reply<'_, Vec<Record>>;

    /// How many jobs of each status there are, of those that were submitted; none for a status without any.
    fn count(&self) -> Reply<'_, Vec<(Status, u64)>>;

    /// Jobs that have been `PENDING` since `due_before` (by their `not_before`) and whose plugin is not among `served`;
    /// at most `most`, the oldest first.
    fn waiting_without(
        &self,
        served: Vec<PluginName>,
        due_before: Time,
        most: u32,
    ) -> Reply<'_, Vec<Record>>;

    /// When the next job of these plugins is due, if any waits: in the past where one could be claimed now.
    fn next_due(&self, plugins: Vec<PluginName>) -> Reply<'_, Option<Time>>;

    /// Says that a host lives and which plugins it serves; gives all hosts that have said so since `alive_since`,
    /// this one included, and forgets those that have not said so for a day.
    fn heartbeat(&self, host: HostSeen, alive_since: Time) -> Reply<'_, Vec<HostSeen>>;

    /// Claims the telling of jobs whose callback is due at `now`, at most `most`: `due` becomes `until`, `attempts`
    /// goes up by one.
    fn due_callbacks(&self, now: Time, until: Time, most: u32) -> Reply<'_, Vec<Record>>;

    /// Notes what came of telling somebody.
    fn end_callback(&self, end: CallbackEnd) -> Reply<'_, ()>;

    /// Removes jobs that have ended, at most `most` at a time, the oldest ends first: those that ended before
    /// `forget.ended_before`, and those beyond the latest `forget.keep` of their kind. One whose callback is still
    /// due stays. Gives how many it removed.
    fn forget(&self, forget: Forget) -> Reply<'_, u64>;

    /// Which of these payloads no job needs: neither as image nor as result nor as attachment.
    fn unused(&self, payloads: Vec<Digest>) -> Reply<'_, Vec<Digest>>;

    /// Keeps a payload in the store itself, beside the jobs.
    fn put_data(&self, sha256: Digest, data: Bytes, now: Time) -> Reply<'_, ()>;

    /// A payload that is in the store itself.
    fn data(&self, sha256: Digest) -> Reply<'_, Option<Bytes>>;

    /// Removes payloads in the store itself that no job needs and nobody has put since `before`. Gives how many.
    fn forget_data(&self, before: Time) -> Reply<'_, u64>;

    /// What other hosts have done, as far as they say so: a hint, and never all.
    fn notices(&self) -> broadcast::Receiver<Notice>;

    /// Until the store can be trusted no more, for good: whatever it says from then on is an error, and the host is
    /// to be started anew. Gives the reason.
    fn failed(&self) -> BoxFuture<'_, String>;

    /// Lets what is under way come to its end, and closes.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A store that everybody shares.
pub type SharedStore = Arc<dyn JobStore>;

/// A job that is to be kept.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// The token that it is submitted with, by its name.
    pub owner: Option<String>,
    /// The request that makes it.
    pub request_id: String,
    /// Whom it calls.
    pub plugin: PluginName,
    /// The type of its image.
    pub mime_type: String,
    /// The options, a JSON text.
    pub options: Option<String>,
    /// Its image, without the bytes. The digest is set.
    pub image: Image,
    /// The bytes, where the store itself is to keep them (as by [`JobStore::put_data`]), in the same step; `None`
    /// where they are among the payloads already.
    pub data: Option<Bytes>,
    /// Which of the jobs that wait comes first.
    pub priority: Priority,
    /// Not to be run before.
    pub not_before: Time,
    /// How long each attempt may take.
    pub deadline: Option<Duration>,
    /// How often it may be begun.
    pub max_attempts: u32,
    /// When it was made.
    pub created_at: Time,
    /// What tells a second submission from another job.
    pub idempotency: Option<Idempotency>,
    /// Whom to tell of its end.
    pub callback_url: Option<String>,
    /// Who runs it from the first, and until when.
    pub claim: Option<(HostId, Time)>,
}

impl NewJob {
    /// The record of the job once it is added: every store has the same.
    pub fn record(&self) -> Record {
        let is_claimed = self.claim.is_some();
        let callback = self.callback_url.clone().map(|url| Callback {
            url,
            attempts: 0,
            due: None,
            delivered_at: None,
            error: None,
        });
        Record {
            id: self.id,
            kind: Kind::Submitted,
            owner: self.owner.clone(),
            request_id: self.request_id.clone(),
            plugin: self.plugin.clone(),
            mime_type: self.mime_type.clone(),
            options: self.options.clone(),
            image: self.image,
            priority: self.priority,
            status: if is_claimed {
                Status::Running
            } else {
                Status::Pending
            },
            attempt: u32::from(is_claimed),
            max_attempts: self.max_attempts,
            fence: i64::from(is_claimed),
            host: self.claim.map(|(host, _)| host),
            leased_until: self.claim.map(|(_, until)| until),
            not_before: self.not_before,
            deadline: self.deadline,
            cancel_asked: false,
            created_at: self.created_at,
            started_at: is_claimed.then_some(self.created_at),
            finished_at: None,
            generation: None,
            progress: 0.0,
            outcome: None,
            log: None,
            callback,
        }
    }
}

/// What tells a second submission from another job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The submitter's own word; unique among those of one owner.
    pub key: String,
    /// Of all that the submission says.
    pub digest: Digest,
}

/// What became of a job that was to be added.
#[derive(Clone, Debug)]
pub enum Added {
    /// It is kept.
    New,
    /// It was there already.
    Known(Box<Record>),
    /// Its key was used for another.
    Conflict,
}

/// Who wants to run which jobs.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who.
    pub host: HostId,
    /// Of which plugins, and of each how many at most.
    pub plugins: Vec<(PluginName, u32)>,
    /// What time it is.
    pub now: Time,
    /// Until when nobody else may run them.
    pub until: Time,
}

/// How far a job has come, under its lease.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The right to say so.
    pub lease: Lease,
    /// The share that is done, 0 to 1.
    pub progress: f32,
    /// What happened on its way, where that is new: replaces what was there.
    pub log: Option<String>,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It counts.
    Kept,
    /// It counts, and somebody wants the job to end.
    CancelAsked,
    /// It counts no more.
    Lost,
}

/// The end of a job.
#[derive(Clone, Debug)]
pub struct End {
    /// The right to end it.
    pub lease: Lease,
    /// `Success`, `Failed` or `Cancelled`.
    pub status: Status,
    /// What came of it.
    pub outcome: StoredOutcome,
    /// When the attempt really began; as it was where `None`.
    pub started_at: Option<Time>,
    /// When it was over; never before it began.
    pub finished_at: Time,
    /// The build that ran it, in its first 12 hex digits.
    pub generation: Option<String>,
    /// The share that was done.
    pub progress: f32,
    /// What happened on its way: a JSON array; as it was where `None`.
    pub log: Option<String>,
}

/// A job that is not to be run here and now after all.
#[derive(Clone, Debug)]
pub struct HandBack {
    /// The right to say so.
    pub lease: Lease,
    /// When it may be claimed again.
    pub not_before: Time,
    /// Whether the attempt counts. If not, `attempt` goes down by one again.
    pub is_counted: bool,
    /// Why; kept as its outcome until it has another. `None` leaves what was there.
    pub error: Option<StoredError>,
    /// The error that it ends with where somebody wanted it to end.
    pub cancelled: StoredError,
    /// What happened on its way: a JSON array; as it was where `None`.
    pub log: Option<String>,
    /// What time it is.
    pub now: Time,
}

/// Which jobs were left by their hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// Those whose lease has run out.
    Expired,
    /// Those of this host, which has just been started anew.
    Of(HostId),
}

/// What became of the wish to end a job.
#[derive(Clone, Debug)]
pub enum Cancelled {
    /// It is over now, or was before: as it stands.
    Ended(Box<Record>),
    /// Who runs it was asked: as it stands.
    Asked(Box<Record>),
    /// There is no such job.
    Unknown,
}

/// What became of the wish to run a job once more.
#[derive(Clone, Debug)]
pub enum Retried {
    /// It waits: as it stands.
    Pending(Box<Record>),
    /// It has not failed: as it stands.
    Refused(Box<Record>),
    /// There is no such job.
    Unknown,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only those of this owner.
    pub owner: Option<String>,
    /// Only those of this status.
    pub status: Option<Status>,
    /// Only those of this plugin.
    pub plugin: Option<PluginName>,
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those that were made before this one.
    pub before: Option<Uuid>,
    /// No more than this many.
    pub limit: u32,
}

/// A host that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSeen {
    /// Which.
    pub id: HostId,
    /// The plugins that it serves, in order.
    pub plugins: Vec<PluginName>,
    /// When it last said so.
    pub at: Time,
}

/// What came of telling somebody of a job's end.
#[derive(Clone, Debug)]
pub struct CallbackEnd {
    /// The job.
    pub job: Uuid,
    /// When it was told, if it was.
    pub delivered_at: Option<Time>,
    /// When it is tried again; `None` for never.
    pub due: Option<Time>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

/// Which ended jobs to remove.
#[derive(Clone, Copy, Debug)]
pub struct Forget {
    /// Those that ended before.
    pub ended_before: Time,
    /// Those beyond the latest so many, of each kind.
    pub keep: u64,
    /// No more than this many at a time.
    pub most: u32,
}

/// What another host has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Jobs were added, or handed back.
    Added,
    /// A job has ended.
    Ended(Uuid),
    /// A job that runs is to end.
    CancelAsked(Uuid),
}

/// Why a store has not done what it was to do. Then nothing is changed.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// There is no room.
    #[error("the job store has no room: {0}")]
    Full(String),
    /// It cannot be reached, for now.
    #[error("the job store cannot be reached: {0}")]
    Unreachable(String),
    /// It cannot be trusted any more, until the host is started anew.
    #[error("the job store cannot be trusted any more: {0}")]
    Broken(String),
    /// A record in it cannot be read.
    #[error("the job store holds what cannot be read: {0}")]
    Corrupt(String),
    /// It did what it should not.
    #[error("the job store: {0}")]
    Other(String),
}
