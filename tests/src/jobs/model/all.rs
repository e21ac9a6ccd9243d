//! What the store in memory keeps, and what each call makes of it. Knows no lock and no answer.

use std::collections::BTreeMap;

use bulkhead::jobs::{
    Added, Claim, End, Forget, HandBack, Held, HostSeen, Idempotency, Kind, Lease, Listing, NewJob,
    Reclaim, Record, Renewal, Status, StoredError, StoredOutcome, StoredResult, Time,
};
use bulkhead::names::{Digest, PluginName};
use bytes::Bytes;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::made;

/// Jobs, their keys, hosts and payloads.
#[derive(Default)]
pub(super) struct All {
    pub(super) jobs: BTreeMap<Uuid, Record>,
    pub(super) keys: Vec<(Option<String>, Idempotency, Uuid)>,
    pub(super) hosts: BTreeMap<Uuid, HostSeen>,
    pub(super) data: BTreeMap<Digest, (Bytes, Time)>,
}

fn log_of(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap()
}

/// Ends a job at this time: nobody runs it any more, and whoever is to be told can be.
pub(super) fn end(job: &mut Record, status: Status, outcome: StoredOutcome, at: Time) {
    job.status = status;
    job.outcome = Some(outcome);
    job.finished_at = Some(at);
    job.attempt = job.attempt.min(job.max_attempts);
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

pub(super) fn needs(job: &Record, payload: &Digest) -> bool {
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

    pub(super) fn owned(&mut self, id: Uuid, owner: Option<&String>) -> Option<&mut Record> {
        let job = self.jobs.get_mut(&id)?;
        (owner.is_none() || job.owner.as_ref() == owner).then_some(job)
    }

    pub(super) fn add(&mut self, job: NewJob) -> Added {
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

    pub(super) fn claim_of(
        &mut self,
        claim: &Claim,
        plugin: &PluginName,
        most: u32,
    ) -> Vec<Record> {
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

    pub(super) fn renew(&mut self, renewal: Renewal, until: Time) -> Held {
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

    pub(super) fn finish(&mut self, over: End) -> Option<()> {
        let job = self.leased(over.lease)?;
        end(job, over.status, over.outcome, over.finished_at);
        job.started_at = over.started_at.or(job.started_at);
        job.generation = over.generation;
        job.progress = over.progress;
        job.log = over.log.map(log_of).or(job.log.take());
        Some(())
    }

    pub(super) fn hand_back(&mut self, back: HandBack) -> Option<()> {
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

    pub(super) fn reclaim(&mut self, which: Reclaim, cancelled: &StoredError, now: Time) -> u64 {
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

    pub(super) fn retry(job: &mut Record, now: Time) {
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

    pub(super) fn list(&self, listing: &Listing) -> Vec<Record> {
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

    pub(super) fn forget(&mut self, forget: Forget) -> u64 {
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
