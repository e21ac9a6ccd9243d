//! What is counted of jobs, for whoever watches the host. Asks the store seldom, and waits for no answer that is long in
//! coming.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::JobManagementService;
use super::durable::Durable;
use crate::jobs::Status;
use crate::services::callbacks::CallbackCounts;

/// How old numbers of the store may be.
const FRESH: Duration = Duration::from_secs(3);
/// How long whoever asks waits for the store.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// What is counted of the jobs that were submitted.
#[derive(Clone, Debug, Default)]
pub struct JobCounts {
    /// How many there are of each status, in the store: of all hosts that share it. As they were when the store last
    /// answered.
    pub by_status: Vec<(Status, u64)>,
    /// Whether the store has answered.
    pub store_answers: bool,
    /// Those that this host has ended, by `success` or the code of their error.
    pub ended: Vec<(String, u64)>,
    /// What became of the tries to tell of their ends.
    pub callbacks: CallbackCounts,
}

/// Jobs that this host has ended, by what came of them; a job costs much more than the lock.
#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<BTreeMap<String, u64>>);

/// What the store has said last.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Option<(Instant, ByStatus)>>);

type ByStatus = Vec<(Status, u64)>;

impl Ended {
    pub(super) fn count(&self, outcome: &str) {
        let mut counts = lock(&self.0);
        match counts.get_mut(outcome) {
            Some(count) => *count += 1,
            None => drop(counts.insert(outcome.to_owned(), 1)),
        }
    }

    fn all(&self) -> Vec<(String, u64)> {
        let counts = lock(&self.0);
        counts.iter().map(|(word, n)| (word.clone(), *n)).collect()
    }
}

impl JobManagementService {
    /// What is counted of jobs; nothing where none are kept.
    pub async fn counts(&self) -> Option<JobCounts> {
        let durable = self.durable.get()?;
        let (by_status, store_answers) = by_status(durable).await;
        Some(JobCounts {
            by_status,
            store_answers,
            ended: durable.ended.all(),
            callbacks: durable.callbacks.counts(),
        })
    }
}

async fn by_status(durable: &Durable) -> (ByStatus, bool) {
    let last = lock(&durable.counted.0).clone();
    if let Some((at, counts)) = &last
        && at.elapsed() < FRESH
    {
        return (counts.clone(), true);
    }
    match tokio::time::timeout(ANSWERS_WITHIN, durable.store.count()).await {
        Ok(Ok(counts)) => {
            *lock(&durable.counted.0) = Some((Instant::now(), counts.clone()));
            (counts, true)
        }
        Ok(Err(_)) | Err(_) => (last.map(|(_, counts)| counts).unwrap_or_default(), false),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
