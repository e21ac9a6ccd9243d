//! What becomes of a job after an attempt: it ends, or waits for another one. Runs nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tracing::{debug, info, warn};

use super::clock::delta;
use super::course::JobEventKind;
use super::durable::Durable;
use super::held::{HeldJob, Wish};
use super::payloads::{Arriving, SMALL};
use super::run::Attempt;
use super::stored::{attachments_of, error_of, stored_error};
use super::tell;
use super::verdict::{Rules, Verdict, is_known, judge};
use crate::envelope::Envelope;
use crate::error::{CallError, Code};
use crate::jobs::{
    End, HandBack, Status, StoreError, StoredOutcome, StoredOutput, StoredResult, Time,
};
use crate::names::Digest;
use crate::validation::Output;

/// How long a store that does not take an outcome is left alone, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Makes durable what came of an attempt, however long the store takes to take it.
pub(super) async fn settle(durable: &Arc<Durable>, held: &Arc<HeldJob>, attempt: Attempt) {
    let Attempt { began, outcome } = attempt;
    tell::attempt(durable, held, &outcome);
    let verdict = match &outcome {
        Ok(_) => Verdict::Over(Status::Success),
        Err(envelope) => {
            let jobs = &durable.running.load().jobs;
            let rules = Rules {
                backoff: jobs.backoff.duration(),
                patience: jobs.patience.duration(),
                now: durable.clock.now(),
            };
            judge(&held.record, held.wish(), envelope, rules)
        }
    };
    match verdict {
        Verdict::Over(status) => end(durable, held, status, began, outcome).await,
        Verdict::Again(wait, is_counted) => {
            let error = outcome.as_ref().err().map(Box::as_ref);
            hand_back(durable, held, Some(wait), is_counted, error).await;
        }
        Verdict::Leave => {
            let (record, generation) = (&held.record, held.generation());
            let (request, plugin) = (&*record.request_id, record.plugin.as_str());
            debug!(request, job = %record.id, plugin, generation, "another host may run the job");
        }
    }
}

async fn end(
    durable: &Arc<Durable>,
    held: &Arc<HeldJob>,
    status: Status,
    began: Time,
    outcome: Result<Output, Box<Envelope>>,
) {
    // Its payloads are its own only once it has ended.
    let mut arrivals = Vec::new();
    let outcome: StoredOutcome = match &outcome {
        Ok(output) => match keep(durable, held, output, &mut arrivals).await {
            Some(kept) => Ok(kept),
            None => return,
        },
        Err(envelope) => Err(stored_error(envelope)),
    };
    let code = super::course::code_of(&outcome);
    let finished_at = durable.clock.now().max(began);
    let end = End {
        lease: held.lease(),
        status,
        started_at: Some(began),
        finished_at,
        generation: held.generation(),
        progress: if status == Status::Success {
            1.0
        } else {
            held.progress()
        },
        log: held.course.log(),
        outcome,
    };
    let ended = persist(durable, held, || durable.store.finish(end.clone())).await;
    match ended {
        Some(true) => {
            held.course.end(status, code.as_deref(), finished_at);
            durable.traces.forget(held.record.id);
            tell::ended(durable, &held.record, status, code.as_deref());
            if held.record.callback.is_some() {
                durable.callbacks.wake();
            }
        }
        Some(false) => {
            let (record, generation) = (&held.record, held.generation());
            let (request, plugin) = (&*record.request_id, record.plugin.as_str());
            debug!(request, job = %record.id, plugin, generation, "the lease of the job counts no more: what came of it is dropped");
        }
        None => {}
    }
}

/// Has a job wait again: for `wait`, or to be claimed at once.
pub(super) async fn hand_back(
    durable: &Arc<Durable>,
    held: &Arc<HeldJob>,
    wait: Option<Duration>,
    is_counted: bool,
    error: Option<&Envelope>,
) {
    let record = &held.record;
    let now = durable.clock.now();
    let not_before = now + delta(wait.unwrap_or_default());
    let told = error.filter(|error| error.code() != Code::Cancelled);
    if let Some(error) = told {
        let facts = json!({
            "attempt": record.attempt, "code": error.code().as_str(), "message": error.error.message,
            "not_before": not_before, "counts": is_counted,
        });
        held.course.tell(JobEventKind::Retrying, now, facts);
    }
    let back = HandBack {
        lease: held.lease(),
        not_before,
        is_counted,
        // The first of several refusals stays: it says since when.
        error: told
            .filter(|error| !is_known(record, error))
            .map(stored_error),
        cancelled: error_of(&CallError::Cancelled, Some(&record.plugin)),
        log: held.course.log(),
        now,
    };
    if persist(durable, held, || durable.store.hand_back(back.clone())).await == Some(true) {
        tell::handed_back(durable, record, not_before, told);
    }
}

/// Keeps a result and its attachments; nothing where the store is given up.
async fn keep(
    durable: &Durable,
    held: &HeldJob,
    output: &Output,
    arrivals: &mut Vec<Arriving>,
) -> Option<StoredOutput> {
    let json = output.json();
    let now = durable.clock.now();
    let result = if json.len() <= SMALL {
        StoredResult::Inline(json.clone())
    } else {
        let (sha256, arriving) = persist_payload(durable, held, json, now).await?;
        arrivals.push(arriving);
        let bytes = json.len() as u64;
        StoredResult::Payload { sha256, bytes }
    };
    let mut digests = Vec::with_capacity(output.attachments.len());
    for attachment in &output.attachments {
        let (sha256, arriving) = persist_payload(durable, held, &attachment.data, now).await?;
        arrivals.push(arriving);
        digests.push(sha256);
    }
    fail::fail_point!("job.result_kept", |_| None);
    let mut digests = digests.into_iter();
    let attachments = attachments_of(output, |_| digests.next().expect("one for each"));
    Some(StoredOutput {
        result: Some(result),
        attachments,
    })
}

/// Tries until the store takes it: what a plugin has worked out is not lost for a disk that is full for a while.
/// Nothing where the store is given up for good, or the host must end.
async fn persist<'a, T>(
    durable: &Durable,
    held: &HeldJob,
    attempt: impl Fn() -> BoxFuture<'a, Result<T, StoreError>>,
) -> Option<T> {
    let (mut wait, record) = (AGAIN.0, &held.record);
    let (request, job, plugin) = (&*record.request_id, record.id, record.plugin.as_str());
    loop {
        let error = match attempt().await {
            Ok(done) => {
                if durable.is_troubled.swap(false, Ordering::Relaxed) {
                    info!(request, %job, plugin, "what comes of jobs is kept again");
                }
                return Some(done);
            }
            Err(StoreError::Broken(_)) => return None,
            Err(error) => error,
        };
        if held.wish() == Some(Wish::Stop) {
            warn!(request, %job, plugin, %error, "what came of the job is not kept: it will run again");
            return None;
        }
        // One line for all jobs that wait for the store.
        if !durable.is_troubled.swap(true, Ordering::Relaxed) {
            warn!(request, %job, plugin, %error, "what comes of jobs cannot be kept: it is tried until it can");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

/// The same for payloads.
async fn persist_payload(
    durable: &Durable,
    held: &HeldJob,
    data: &Bytes,
    now: Time,
) -> Option<(Digest, Arriving)> {
    let put = async || {
        let put = durable.payloads.put(data, now).await;
        put.map_err(|error| StoreError::Other(error.to_string()))
    };
    persist(durable, held, || put().boxed()).await
}
