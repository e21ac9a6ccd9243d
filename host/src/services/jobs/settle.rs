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
use super::course::{JobEventKind, told_of};
use super::durable::Durable;
use super::held::{HeldJob, Wish};
use super::payloads::SMALL;
use super::run::Attempt;
use super::stored::{attachments_of, error_of, status_of, stored_error};
use super::tell;
use crate::envelope::Envelope;
use crate::error::{CallError, Code};
use crate::jobs::{
    End, HandBack, Record, Status, StoreError, StoredOutcome, StoredOutput, StoredResult, Time,
};
use crate::names::Digest;
use crate::validation::Output;

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// How long a job waits that was not begun for no fault of its own, where nobody says how long.
const NOT_NOW: Duration = Duration::from_secs(1);
const MAX_NOT_NOW: Duration = Duration::from_secs(30);
/// What says that a call was not begun.
const NOT_BEGUN: [Code; 3] = [
    Code::Overloaded,
    Code::PluginUnavailable,
    Code::PluginNotFound,
];
/// How long a store that does not take an outcome is left alone, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// What becomes of a job whose attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is over.
    Over(Status),
    /// It waits so long for another attempt; whether this one counts.
    Again(Duration, bool),
    /// It is another host's, or will be.
    Leave,
}

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
        Verdict::Leave => debug!(job = %held.record.id, "another host may run the job"),
    }
}

/// What the operator says of attempts that fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    backoff: Duration,
    patience: Duration,
    now: Time,
}

/// What becomes of a job whose attempt has failed.
pub(super) fn judge(
    record: &Record,
    wish: Option<Wish>,
    envelope: &Envelope,
    rules: Rules,
) -> Verdict {
    let code = envelope.code();
    match (code, wish) {
        (Code::Cancelled, Some(Wish::Cancel)) => return Verdict::Over(Status::Cancelled),
        (Code::Cancelled, Some(Wish::Stop)) => return Verdict::Again(Duration::ZERO, false),
        (Code::Cancelled, Some(Wish::Lost)) => return Verdict::Leave,
        // The plugin says so of itself: nobody has cancelled it.
        (Code::Cancelled, None) => return Verdict::Over(Status::Failed),
        _ => {}
    }
    // It was not begun, or another call was to blame.
    // In the details of a plugin's own error anything may stand.
    let was_others = code.is_crash() && envelope.error.details.contains_key("retryable");
    if NOT_BEGUN.contains(&code) || was_others {
        return wait_for_its_turn(record, envelope, rules);
    }
    let may_differ = code.is_crash() || matches!(code, Code::Timeout | Code::Internal);
    if may_differ && record.attempt < record.max_attempts {
        return Verdict::Again(wait_before(record.attempt, rules.backoff), true);
    }
    Verdict::Over(status_of(code))
}

/// A job that was not begun waits the longer the longer it has waited already, and not beyond the operator's patience.
fn wait_for_its_turn(record: &Record, envelope: &Envelope, rules: Rules) -> Verdict {
    let since = refused_since(record).unwrap_or(rules.now);
    let waited = (rules.now - since).to_std().unwrap_or_default();
    if waited > rules.patience {
        return Verdict::Over(Status::Failed);
    }
    let wait = (waited / 2).clamp(NOT_NOW, MAX_NOT_NOW);
    let asked = envelope.retry_after().unwrap_or_default();
    Verdict::Again(wait.max(asked), false)
}

/// Since when a job was refused whenever it was to begin: its error is the first of them.
fn refused_since(record: &Record) -> Option<Time> {
    let (code, at) = told_of(record.outcome.as_ref()?)?;
    let is_of = |refusal: &Code| refusal.as_str() == code;
    NOT_BEGUN.iter().any(is_of).then_some(at)
}

/// Doubles with each attempt.
fn wait_before(attempt: u32, backoff: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    backoff.saturating_mul(doubled).min(MAX_BACKOFF)
}

async fn end(
    durable: &Arc<Durable>,
    held: &Arc<HeldJob>,
    status: Status,
    began: Time,
    outcome: Result<Output, Box<Envelope>>,
) {
    let outcome = match &outcome {
        Ok(output) => Ok(keep(durable, held, output).await),
        Err(envelope) => Err(stored_error(envelope)),
    };
    let outcome: StoredOutcome = match outcome {
        Ok(Some(kept)) => Ok(kept),
        Ok(None) => return,
        Err(error) => Err(error),
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
            tell::ended(durable, &held.record, status, code.as_deref());
            if held.record.callback.is_some() {
                durable.callbacks.wake();
            }
        }
        Some(false) => {
            debug!(job = %held.record.id, "the lease of the job counts no more: what came of it is dropped")
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
            .filter(|it| !NOT_BEGUN.contains(&it.code()) || refused_since(record).is_none())
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
async fn keep(durable: &Durable, held: &HeldJob, output: &Output) -> Option<StoredOutput> {
    let json = output.json();
    let now = durable.clock.now();
    let result = if json.len() <= SMALL {
        StoredResult::Inline(json.clone())
    } else {
        let sha256 = persist_payload(durable, held, json, now).await?;
        let bytes = json.len() as u64;
        StoredResult::Payload { sha256, bytes }
    };
    let mut digests = Vec::with_capacity(output.attachments.len());
    for attachment in &output.attachments {
        digests.push(persist_payload(durable, held, &attachment.data, now).await?);
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
    let (mut wait, job) = (AGAIN.0, held.record.id);
    loop {
        let error = match attempt().await {
            Ok(done) => {
                if durable.is_troubled.swap(false, Ordering::Relaxed) {
                    info!(%job, "what comes of jobs is kept again");
                }
                return Some(done);
            }
            Err(StoreError::Broken(_)) => return None,
            Err(error) => error,
        };
        if held.wish() == Some(Wish::Stop) {
            warn!(%job, %error, "what came of the job is not kept: it will run again");
            return None;
        }
        // One line for all jobs that wait for the store.
        if !durable.is_troubled.swap(true, Ordering::Relaxed) {
            warn!(%job, %error, "what comes of jobs cannot be kept: it is tried until it can");
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
) -> Option<Digest> {
    let put = async || {
        let put = durable.payloads.put(data, now).await;
        put.map_err(|error| StoreError::Other(error.to_string()))
    };
    persist(durable, held, || put().boxed()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::PluginName;
    use crate::services::jobs::test_record;

    fn check(error: &CallError, attempt: u32, wish: Option<Wish>, expected: Verdict) {
        let mut record = test_record();
        (record.attempt, record.max_attempts) = (attempt, 3);
        let plugin = PluginName::parse("any").unwrap();
        let envelope = Envelope::new(error, Some(&plugin));
        let rules = Rules {
            backoff: Duration::from_secs(1),
            patience: Duration::from_secs(60),
            now: record.created_at,
        };
        let found = judge(&record, wish, &envelope, rules);
        assert_eq!(found, expected, "{error}, attempt {attempt}, {wish:?}");
    }

    fn crashed(retryable: bool) -> CallError {
        CallError::Crashed {
            signal: "SIGSEGV".to_owned(),
            retryable,
            traceback: String::new().into(),
        }
    }

    fn overloaded(seconds: u64) -> CallError {
        CallError::Overloaded {
            in_flight: 1,
            queued: 1,
            retry_after: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn what_may_end_otherwise_is_tried_again_and_not_for_ever() {
        let (failed, seconds) = (Verdict::Over(Status::Failed), Duration::from_secs);
        check(&crashed(false), 1, None, Verdict::Again(seconds(1), true));
        check(&crashed(false), 2, None, Verdict::Again(seconds(2), true));
        check(&crashed(false), 3, None, failed);
        check(
            &CallError::timed_out(seconds(1)),
            1,
            None,
            Verdict::Again(seconds(1), true),
        );
        check(&CallError::internal("x".to_owned()), 3, None, failed);
        check(&CallError::EmptyImage, 1, None, failed);
        let details = serde_json::Map::from_iter([("retryable".to_owned(), true.into())]);
        let message = "it says so itself".to_owned();
        check(&CallError::Failed { message, details }, 1, None, failed);
        check(&CallError::HostDied { attempts: 3 }, 4, None, failed);
    }

    #[test]
    fn what_is_not_the_jobs_fault_does_not_count() {
        let seconds = Duration::from_secs;
        check(&crashed(true), 3, None, Verdict::Again(NOT_NOW, false));
        check(&overloaded(7), 3, None, Verdict::Again(seconds(7), false));
        let gone = CallError::unavailable("gone".to_owned());
        check(&gone, 3, None, Verdict::Again(NOT_NOW, false));
    }

    #[test]
    fn who_is_refused_for_long_waits_longer_and_then_gives_up() {
        let gone = CallError::unavailable("gone".to_owned());
        let (mut record, envelope) = (test_record(), Envelope::new(&gone, None));
        record.outcome = Some(Err(stored_error(&envelope)));
        for (seconds, expected) in [
            (1, Verdict::Again(NOT_NOW, false)),
            (20, Verdict::Again(Duration::from_secs(10), false)),
            (61, Verdict::Over(Status::Failed)),
        ] {
            let rules = Rules {
                backoff: Duration::from_secs(1),
                patience: Duration::from_secs(60),
                now: envelope.error.timestamp + delta(Duration::from_secs(seconds)),
            };
            assert_eq!(
                judge(&record, None, &envelope, rules),
                expected,
                "{seconds} s"
            );
        }
    }

    #[test]
    fn who_wanted_it_to_end_decides_what_becomes_of_it() {
        let cancelled = CallError::Cancelled;
        let again = Verdict::Again(Duration::ZERO, false);
        check(
            &cancelled,
            1,
            Some(Wish::Cancel),
            Verdict::Over(Status::Cancelled),
        );
        check(&cancelled, 1, Some(Wish::Stop), again);
        check(&cancelled, 1, Some(Wish::Lost), Verdict::Leave);
        check(&cancelled, 1, None, Verdict::Over(Status::Failed));
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let wait = |attempt| wait_before(attempt, Duration::from_secs(1));
        let waits: Vec<_> = [1, 2, 3, 9, 10, 99].map(wait).map(|it| it.as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
