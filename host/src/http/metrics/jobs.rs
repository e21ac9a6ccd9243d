//! The families of jobs that were submitted.

use std::fmt;

use super::family::{Families, alone};
use crate::jobs::Status;
use crate::services::JobCounts;

const STATUSES: [Status; 5] = [
    Status::Pending,
    Status::Running,
    Status::Success,
    Status::Failed,
    Status::Cancelled,
];

/// Writes them.
pub(super) fn tell(jobs: &JobCounts, families: &mut Families<'_, '_>) -> fmt::Result {
    let count = |status: Status| {
        let found = jobs.by_status.iter().find(|(it, _)| *it == status);
        found.map_or(0, |(_, count)| *count)
    };
    families.gauge(
        "bulkhead_jobs",
        "Jobs in the store, of all hosts that share it, a few seconds old at most.",
        STATUSES.map(|it| (vec![("status", it.as_str())], count(it))),
    )?;
    families.gauge(
        "bulkhead_job_store_up",
        "Whether the job store has answered.",
        alone(jobs.store_answers.into()),
    )?;
    let ended = jobs.ended.iter();
    families.counter(
        "bulkhead_jobs_ended",
        "Jobs that this host has ended, by `success` or the code of their error.",
        ended.map(|(outcome, count)| (vec![("outcome", &**outcome)], *count)),
    )?;
    let tries = [
        ("delivered", jobs.callbacks.delivered),
        ("failed", jobs.callbacks.failed),
        ("given_up", jobs.callbacks.given_up),
    ];
    families.counter(
        "bulkhead_callback_deliveries",
        "Tries to tell of the ends of jobs, by what became of them.",
        tries.map(|(outcome, count)| (vec![("outcome", outcome)], count)),
    )
}
