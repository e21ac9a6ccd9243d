//! A store of jobs in memory, as short as it can be: what the real ones are compared with. Knows the contract alone.

use std::sync::{Mutex, MutexGuard};

use bulkhead::jobs::{
    Added, CallbackEnd, Cancelled, Claim, End, Forget, HandBack, Held, HostSeen, JobStore, Kind,
    Listing, NewJob, Notice, Reclaim, Record, Renewal, Reply, Retried, Status, StoreError,
    StoredError, Time,
};
use bulkhead::names::{Digest, PluginName};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures_util::future::{BoxFuture, pending, ready};
use tokio::sync::broadcast;
use uuid::Uuid;

use self::all::{All, end, needs};
use super::made::whole;

mod all;

pub use all::listed;

/// A store of jobs in memory.
pub struct Model {
    since: Time,
    all: Mutex<All>,
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
