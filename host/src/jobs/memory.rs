//! Keeps jobs in memory, the ended ones for a while: bounded by age, by number and by bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::live::{Job, JobState};
use crate::call::{Call, Payload};
use crate::envelope::Envelope;
use crate::validation::Output;

/// Ids are random at their end, so calls at the same time meet in the same shard one time in 16.
const SHARDS: usize = 16;

/// How long ended jobs are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// No longer than this.
    pub age: Duration,
    /// No more than about this many.
    pub count: usize,
    /// No more than about this many bytes of results, but always the latest.
    pub bytes: usize,
}

/// Jobs in memory.
pub struct MemoryStore {
    shards: [Mutex<Shard>; SHARDS],
    retention: Retention,
    since: DateTime<Utc>,
}

#[derive(Default)]
struct Shard {
    jobs: HashMap<Uuid, Job, foldhash::fast::RandomState>,
    // In the order in which they ended.
    ended: VecDeque<Uuid>,
    bytes: usize,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(retention: Retention) -> Self {
        Self {
            shards: Default::default(),
            retention,
            since: Utc::now(),
        }
    }

    /// Keeps a job until it has ended and its retention is over.
    pub fn insert(&self, job: Job) {
        self.shard(job.id).jobs.insert(job.id, job);
    }

    /// Marks a pending job as running, and gives what is to be run.
    pub fn start(&self, id: Uuid) -> Option<Arc<Call>> {
        self.shard(id).jobs.get_mut(&id).and_then(Job::start)
    }

    /// Notes what became of a job. The first end stands: whether it is this one.
    pub fn end(&self, id: Uuid, outcome: Result<Output, Box<Envelope>>) -> bool {
        let mut shard = self.shard(id);
        let Some(job) = shard.jobs.get_mut(&id) else {
            return false;
        };
        if matches!(job.state, JobState::Ended(_)) {
            return false;
        }
        job.end(outcome);
        let weight = job.weight();
        shard.ended.push_back(id);
        shard.bytes += weight;
        shard.forget(self.retention, Utc::now());
        true
    }

    /// Tells the call of a job that nobody waits for it any more.
    pub fn cancel(&self, id: Uuid) {
        if let Some(call) = self.shard(id).jobs.get(&id).and_then(Job::unfinished) {
            call.cancel();
        }
    }

    /// The bytes of an attachment of a job, by its place.
    pub fn attachment(&self, id: Uuid, index: usize) -> Option<Payload> {
        let shard = self.shard(id);
        let JobState::Ended(ended) = &shard.jobs.get(&id)?.state else {
            return None;
        };
        let output = ended.outcome.as_ref().ok()?;
        let attachment = output.attachments.get(index)?;
        Some(Payload::Heap(attachment.data.clone()))
    }

    /// A job as it is now.
    pub fn get(&self, id: Uuid) -> Option<Job> {
        let mut shard = self.shard(id);
        shard.forget(self.retention, Utc::now());
        shard.jobs.get(&id).cloned()
    }

    /// The calls of all jobs that have not ended.
    pub fn unfinished(&self) -> Vec<Arc<Call>> {
        let unfinished = |index: usize| -> Vec<_> {
            let shard = self.lock(index);
            let calls = shard.jobs.values().filter_map(Job::unfinished);
            calls.cloned().collect()
        };
        (0..SHARDS).flat_map(unfinished).collect()
    }

    /// Whether an id that is not there may well have been: it was made in this store's time.
    pub fn has_forgotten(&self, id: Uuid) -> bool {
        let made = id.get_timestamp().map(|stamp| stamp.to_unix());
        let made =
            made.and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds as i64, nanos));
        made.is_some_and(|made| made >= self.since && made + self.retention.age <= Utc::now())
    }

    fn shard(&self, id: Uuid) -> MutexGuard<'_, Shard> {
        self.lock(usize::from(id.as_bytes()[15]) % SHARDS)
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn forget(&mut self, retention: Retention, now: DateTime<Utc>) {
        while let Some(oldest) = self.ended.front() {
            let over = self.ended.len() > retention.count.div_ceil(SHARDS)
                || self.bytes > retention.bytes / SHARDS && self.ended.len() > 1;
            let job = self.jobs.get(oldest);
            if !over && job.is_some_and(|job| !is_past(job, retention.age, now)) {
                return;
            }
            let weight = job.map_or(0, Job::weight);
            self.jobs.remove(oldest);
            self.bytes -= weight;
            self.ended.pop_front();
        }
    }
}

fn is_past(job: &Job, age: Duration, now: DateTime<Utc>) -> bool {
    let JobState::Ended(ended) = &job.state else {
        return false;
    };
    // A clock that was set back makes no job older.
    (now - ended.finished_at)
        .to_std()
        .is_ok_and(|passed| passed >= age)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::call::RawOutput;
    use crate::error::CallError;
    use crate::names::PluginName;
    use crate::validation::{OutputRules, SchemaCheck};

    fn store(age: Duration, count: usize, bytes: usize) -> MemoryStore {
        MemoryStore::new(Retention { age, count, bytes })
    }

    fn job() -> Job {
        let name = PluginName::parse("any").unwrap();
        let call = Call::new(
            name,
            Payload::Heap(Bytes::from_static(b"x")),
            "image/png".to_owned(),
        );
        Job::pending(Arc::new(call))
    }

    fn result(size: usize) -> Result<Output, Box<Envelope>> {
        let json = Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(size)));
        let raw = RawOutput {
            json,
            attachments: Vec::new(),
        };
        Ok(
            OutputRules::compile(1 << 20, &true.into(), SchemaCheck::Never)
                .unwrap()
                .check(raw)
                .unwrap(),
        )
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_job_goes_through_its_states_once() {
        let store = store(DAY, 100, 1 << 20);
        let job = job();
        let id = job.id;
        store.insert(job);
        let status = || store.get(id).unwrap().status();
        assert_eq!(status(), "PENDING");
        assert!(store.start(id).is_some());
        assert_eq!(status(), "RUNNING");
        assert!(store.start(id).is_none(), "no job starts twice");
        assert_eq!(store.unfinished().len(), 1);
        store.end(id, result(1));
        store.end(
            id,
            Err(Box::new(Envelope::new(&CallError::Cancelled, None))),
        );
        assert_eq!(status(), "SUCCESS", "the first end stands");
        assert!(store.unfinished().is_empty());
    }

    #[test]
    fn ended_jobs_are_kept_within_bounds() {
        for store in [store(DAY, SHARDS, 1 << 30), store(DAY, 1_000_000, 1)] {
            for _ in 0..500 {
                let job = job();
                let id = job.id;
                store.insert(job);
                store.start(id);
                store.end(id, result(100));
            }
            let kept: usize = store
                .shards
                .iter()
                .map(|shard| shard.lock().unwrap().jobs.len())
                .sum();
            assert!(kept <= SHARDS, "{kept} jobs are kept");
        }
    }

    #[test]
    fn what_is_past_its_age_is_forgotten_and_told_so() {
        let store = store(Duration::ZERO, 100, 1 << 20);
        let job = job();
        let id = job.id;
        store.insert(job);
        assert!(store.get(id).is_some(), "a pending job does not expire");
        store.end(id, result(1));
        assert!(store.get(id).is_none());
        assert!(!store.has_forgotten(Uuid::nil()));
    }
}
