//! A store of jobs in memory, as short as it can be: what the real ones are compared with. Knows the contract alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use bulkhead::jobs::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostSeen, Idempotency,
    JobStore, Kind, Lease, Listing, NewJob, Notice, Reclaim, Record, Renewal, Reply, Retried,
    Status, StoreError, StoredError, StoredOutcome, StoredResult, Time,
};
use bulkhead::names::{Digest, PluginName};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures_util::future::{BoxFuture, pending, ready};
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::made::{self, whole};

/// A store of jobs in memory.
pub struct Model {
    since: Time,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    jobs: BTreeMap<Uuid, Record>,
    keys: Vec<(Option<String>, Idempotency, Uuid)>,
    hosts: BTreeMap<Uuid, HostSeen>,
    data: BTreeMap<Digest, (Bytes, Time)>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            since: whole(Utc::now()),
            all: Mutex::default(),
        }
    }
}

impl Model {
    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap()
    }

    /// Whether two jobs of one kind have ended at the same moment: then nothing says which of them is the later.
    ///
    /// # Panics
    /// Never.
    pub fn has_ends_at_once(&self) -> bool {
        let mut ends: Vec<Time> = self
            .all()
            .jobs
            .values()
            .filter_map(|job| job.finished_at)
            .collect();
        let count = ends.len();
        ends.sort();
        ends.dedup();
        ends.len() < count
    }

    /// The job of this id, if there is one.
    ///
    /// # Panics
    /// Never.
    pub fn job(&self, id: Uuid) -> Option<Record> {
        self.all().jobs.get(&id).cloned()
    }
}

fn now<'a, T: Send + 'a>(value: T) -> Reply<'a, T> {
    Box::pin(ready(Ok(value)))
}

fn log_of(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap()
}

/// Ends a job at this time: nobody runs it any more, and whoever is to be told can be.
fn end(job: &mut Record, status: Status, outcome: StoredOutcome, at: Time) {
    job.status = status;
    job.outcome = Some(outcome);
    job.finished_at = Some(at);
    leave(job);
    if let Some(callback) = &mut job.callback {
        callback.due = Some(at);
    }
}

fn leave(job: &mut Record) {
    job.host = None;
    job.leased_until = None;
    job.cancel_asked = false;
}

fn needs(job: &Record, payload: &Digest) -> bool {
    let output = job
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.as_ref().ok());
    let is_result = output.is_some_and(|output| {
        matches!(&output.result, Some(StoredResult::Payload { sha256, .. }) if sha256 == payload)
    });
    let is_beside = output.is_some_and(|output| {
        output
            .attachments
            .iter()
            .any(|beside| beside.sha256 == *payload)
    });
    job.image.sha256 == Some(*payload) || is_result || is_beside
}

/// A record as lists have it.
pub fn listed(mut record: Record) -> Record {
    record.options = None;
    record.log = None;
    if let Some(Ok(output)) = &mut record.outcome {
        output.result = None;
    }
    record
}

impl All {
    fn leased(&mut self, lease: Lease) -> Option<&mut Record> {
        let job = self.jobs.get_mut(&lease.job)?;
        (job.status == Status::Running && job.fence == lease.fence).then_some(job)
    }

    fn owned(&mut self, id: Uuid, owner: Option<&String>) -> Option<&mut Record> {
        let job = self.jobs.get_mut(&id)?;
        (owner.is_none() || job.owner.as_ref() == owner).then_some(job)
    }

    fn add(&mut self, job: NewJob) -> Added {
        if let Some(idempotency) = &job.idempotency {
            let used = self
                .keys
                .iter()
                .find(|(owner, used, _)| *owner == job.owner && used.key == idempotency.key);
            match used {
                Some((_, used, id)) if used.digest == idempotency.digest => {
                    return Added::Known(Box::new(self.jobs[id].clone()));
                }
                Some(_) => return Added::Conflict,
                None => self
                    .keys
                    .push((job.owner.clone(), idempotency.clone(), job.id)),
            }
        }
        if let (Some(sha256), Some(data)) = (job.image.sha256, job.data.clone()) {
            self.data.insert(sha256, (data, job.created_at));
        }
        self.jobs.insert(job.id, made::record_of(&job));
        Added::New
    }

    fn claim_of(&mut self, claim: &Claim, plugin: &PluginName, most: u32) -> Vec<Record> {
        let mut due: Vec<&mut Record> = self
            .jobs
            .values_mut()
            .filter(|job| job.status == Status::Pending && job.plugin == *plugin)
            .filter(|job| job.not_before <= claim.now)
            .collect();
        due.sort_by_key(|job| (job.priority, job.not_before, job.id));
        due.truncate(most as usize);
        due.into_iter()
            .map(|job| {
                job.status = Status::Running;
                job.attempt += 1;
                job.fence += 1;
                job.host = Some(claim.host);
                job.leased_until = Some(claim.until);
                job.started_at = Some(claim.now);
                job.progress = 0.0;
                job.clone()
            })
            .collect()
    }

    fn renew(&mut self, renewal: Renewal, until: Time) -> Held {
        let Some(job) = self.leased(renewal.lease) else {
            return Held::Lost;
        };
        job.leased_until = Some(until);
        job.progress = renewal.progress;
        job.log = renewal.log.map(log_of).or(job.log.take());
        if job.cancel_asked {
            Held::CancelAsked
        } else {
            Held::Kept
        }
    }

    fn finish(&mut self, over: End) -> Option<()> {
        let job = self.leased(over.lease)?;
        end(job, over.status, over.outcome, over.finished_at);
        job.attempt = job.attempt.min(job.max_attempts);
        job.started_at = over.started_at.or(job.started_at);
        job.generation = over.generation;
        job.progress = over.progress;
        job.log = over.log.map(log_of).or(job.log.take());
        Some(())
    }

    fn hand_back(&mut self, back: HandBack) -> Option<()> {
        let job = self.leased(back.lease)?;
        job.attempt -= u32::from(!back.is_counted);
        job.log = back.log.map(log_of).or(job.log.take());
        if job.cancel_asked {
            end(job, Status::Cancelled, Err(back.cancelled), back.now);
            return Some(());
        }
        job.status = Status::Pending;
        job.not_before = back.not_before;
        job.outcome = back.error.map(Err).or(job.outcome.take());
        leave(job);
        Some(())
    }

    fn reclaim(&mut self, which: Reclaim, cancelled: &StoredError, now: Time) -> u64 {
        let is_left = |job: &&mut Record| match which {
            Reclaim::Expired => job.leased_until.is_some_and(|until| until <= now),
            Reclaim::Of(host) => job.host == Some(host),
        };
        let left = self.jobs.values_mut().filter(is_left);
        left.map(|job| {
            if job.cancel_asked {
                end(job, Status::Cancelled, Err(cancelled.clone()), now);
            } else {
                job.status = Status::Pending;
                job.not_before = now;
                leave(job);
            }
        })
        .count() as u64
    }

    fn retry(job: &mut Record, now: Time) {
        job.status = Status::Pending;
        job.not_before = now;
        job.attempt = 0;
        job.outcome = None;
        job.log = None;
        job.generation = None;
        job.started_at = None;
        job.finished_at = None;
        job.progress = 0.0;
        if let Some(callback) = &mut job.callback {
            callback.attempts = 0;
            callback.due = None;
            callback.delivered_at = None;
            callback.error = None;
        }
    }

    fn list(&self, listing: &Listing) -> Vec<Record> {
        let kept = |job: &&Record| {
            (listing.owner.is_none() || job.owner == listing.owner)
                && listing.status.is_none_or(|status| job.status == status)
                && listing
                    .plugin
                    .as_ref()
                    .is_none_or(|plugin| job.plugin == *plugin)
                && listing.kind.is_none_or(|kind| job.kind == kind)
                && listing.before.is_none_or(|before| job.id < before)
        };
        let found = self.jobs.values().rev().filter(kept);
        found
            .take(listing.limit as usize)
            .cloned()
            .map(listed)
            .collect()
    }

    fn forget(&mut self, forget: Forget) -> u64 {
        let mut gone = Vec::new();
        for kind in [Kind::Submitted, Kind::Analysis] {
            let mut ended: Vec<&Record> = self
                .jobs
                .values()
                .filter(|job| job.kind == kind && job.status.is_final())
                .collect();
            ended.sort_by_key(|job| std::cmp::Reverse((job.finished_at, job.id)));
            let is_told = |job: &Record| job.callback.as_ref().is_none_or(|to| to.due.is_none());
            let old = ended.into_iter().enumerate().filter(|(place, job)| {
                let is_over = job.finished_at.is_some_and(|at| at < forget.ended_before);
                is_told(job) && (is_over || *place as u64 >= forget.keep)
            });
            gone.extend(old.map(|(_, job)| (job.finished_at, job.id)));
        }
        gone.sort();
        gone.truncate(forget.most as usize);
        for (_, id) in &gone {
            self.jobs.remove(id);
            self.keys.retain(|(_, _, used)| used != id);
        }
        gone.len() as u64
    }
}

impl JobStore for Model {
    fn time(&self) -> Reply<'_, Time> {
        now(whole(Utc::now()))
    }

    fn since(&self) -> Time {
        self.since
    }

    fn add(&self, jobs: Vec<NewJob>) -> Reply<'_, Vec<Added>> {
        let mut all = self.all();
        let mut fresh = std::collections::BTreeSet::new();
        if let Some(job) = jobs
            .iter()
            .find(|job| all.jobs.contains_key(&job.id) || !fresh.insert(job.id))
        {
            let refused = StoreError::Other(format!("job {} is there", job.id));
            return Box::pin(ready(Err(refused)));
        }
        now(jobs.into_iter().map(|job| all.add(job)).collect())
    }

    fn note(&self, ended: Vec<Record>) -> Reply<'_, ()> {
        let mut all = self.all();
        for record in ended {
            all.jobs.entry(record.id).or_insert(record);
        }
        now(())
    }

    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Record>> {
        let mut all = self.all();
        let each = claim.plugins.iter();
        now(each
            .flat_map(|(plugin, most)| all.claim_of(&claim, plugin, *most))
            .collect())
    }

    fn renew(&self, renewals: Vec<Renewal>, until: Time) -> Reply<'_, Vec<Held>> {
        let mut all = self.all();
        let each = renewals.into_iter();
        now(each.map(|renewal| all.renew(renewal, until)).collect())
    }

    fn finish(&self, end: End) -> Reply<'_, bool> {
        now(self.all().finish(end).is_some())
    }

    fn hand_back(&self, back: HandBack) -> Reply<'_, bool> {
        now(self.all().hand_back(back).is_some())
    }

    fn reclaim(&self, which: Reclaim, cancelled: StoredError, at: Time) -> Reply<'_, u64> {
        now(self.all().reclaim(which, &cancelled, at))
    }

    fn cancel(
        &self,
        id: Uuid,
        owner: Option<String>,
        error: StoredError,
        at: Time,
    ) -> Reply<'_, Cancelled> {
        let mut all = self.all();
        let Some(job) = all.owned(id, owner.as_ref()) else {
            return now(Cancelled::Unknown);
        };
        match job.status {
            Status::Pending => end(job, Status::Cancelled, Err(error), at),
            Status::Running => job.cancel_asked = true,
            Status::Success | Status::Failed | Status::Cancelled => {}
        }
        let record = Box::new(job.clone());
        now(match record.status {
            Status::Running => Cancelled::Asked(record),
            _ => Cancelled::Ended(record),
        })
    }

    fn fail_pending(&self, id: Uuid, error: StoredError, at: Time) -> Reply<'_, bool> {
        let mut all = self.all();
        let job = all.jobs.get_mut(&id);
        let job = job.filter(|job| job.status == Status::Pending);
        now(job
            .map(|job| end(job, Status::Failed, Err(error), at))
            .is_some())
    }

    fn retry(&self, id: Uuid, owner: Option<String>, at: Time) -> Reply<'_, Retried> {
        let mut all = self.all();
        let Some(job) = all.owned(id, owner.as_ref()) else {
            return now(Retried::Unknown);
        };
        if !matches!(job.status, Status::Failed | Status::Cancelled) {
            return now(Retried::Refused(Box::new(job.clone())));
        }
        All::retry(job, at);
        now(Retried::Pending(Box::new(job.clone())))
    }

    fn get(&self, id: Uuid, owner: Option<String>) -> Reply<'_, Option<Record>> {
        now(self.all().owned(id, owner.as_ref()).cloned())
    }

    fn list(&self, listing: Listing) -> Reply<'_, Vec<Record>> {
        now(self.all().list(&listing))
    }

    fn count(&self) -> Reply<'_, Vec<(Status, u64)>> {
        let all = self.all();
        let count_of = |status| {
            let submitted = all.jobs.values().filter(|job| job.kind == Kind::Submitted);
            submitted.filter(|job| job.status == status).count() as u64
        };
        let counts = Status::ALL.map(|status| (status, count_of(status)));
        now(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    fn waiting_without(
        &self,
        served: Vec<PluginName>,
        due_before: Time,
        most: u32,
    ) -> Reply<'_, Vec<Record>> {
        let all = self.all();
        let mut waiting: Vec<Record> = all
            .jobs
            .values()
            .filter(|job| job.status == Status::Pending && !served.contains(&job.plugin))
            .filter(|job| job.not_before <= due_before)
            .cloned()
            .collect();
        waiting.sort_by_key(|job| (job.not_before, job.id));
        waiting.truncate(most as usize);
        now(waiting)
    }

    fn next_due(&self, plugins: Vec<PluginName>) -> Reply<'_, Option<Time>> {
        let all = self.all();
        let waiting = all
            .jobs
            .values()
            .filter(|job| job.status == Status::Pending && plugins.contains(&job.plugin));
        now(waiting.map(|job| job.not_before).min())
    }

    fn heartbeat(&self, host: HostSeen, alive_since: Time) -> Reply<'_, Vec<HostSeen>> {
        let mut all = self.all();
        let day_ago = host.at - TimeDelta::days(1);
        all.hosts.insert(host.id, host);
        all.hosts.retain(|_, host| host.at >= day_ago);
        let alive = all.hosts.values().filter(|host| host.at >= alive_since);
        now(alive.cloned().collect())
    }

    fn due_callbacks(&self, at: Time, until: Time, most: u32) -> Reply<'_, Vec<Record>> {
        let mut all = self.all();
        let is_due = |job: &&mut Record| {
            let due = job.callback.as_ref().and_then(|callback| callback.due);
            due.is_some_and(|due| due <= at)
        };
        let due = all.jobs.values_mut().filter(is_due).take(most as usize);
        now(due
            .map(|job| {
                if let Some(callback) = &mut job.callback {
                    callback.due = Some(until);
                    callback.attempts += 1;
                }
                job.clone()
            })
            .collect())
    }

    fn end_callback(&self, end: CallbackEnd) -> Reply<'_, ()> {
        let mut all = self.all();
        let job = all.jobs.get_mut(&end.job);
        let job = job.filter(|job| job.status.is_final());
        if let Some(callback) = job.and_then(|job| job.callback.as_mut()) {
            callback.delivered_at = end.delivered_at;
            callback.due = end.due;
            callback.error = end.error;
        }
        now(())
    }

    fn forget(&self, forget: Forget) -> Reply<'_, u64> {
        now(self.all().forget(forget))
    }

    fn unused(&self, payloads: Vec<Digest>) -> Reply<'_, Vec<Digest>> {
        let all = self.all();
        let is_unused = |payload: &Digest| !all.jobs.values().any(|job| needs(job, payload));
        now(payloads.into_iter().filter(is_unused).collect())
    }

    fn put_data(&self, sha256: Digest, data: Bytes, at: Time) -> Reply<'_, ()> {
        self.all().data.insert(sha256, (data, at));
        now(())
    }

    fn data(&self, sha256: Digest) -> Reply<'_, Option<Bytes>> {
        let all = self.all();
        now(all.data.get(&sha256).map(|(data, _)| data.clone()))
    }

    fn forget_data(&self, before: Time) -> Reply<'_, u64> {
        let mut all = self.all();
        let All { jobs, data, .. } = &mut *all;
        let count = data.len();
        data.retain(|payload, (_, put)| {
            *put >= before || jobs.values().any(|job| needs(job, payload))
        });
        now((count - data.len()) as u64)
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        broadcast::channel(1).1
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(pending())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
