//! What becomes of a job whose attempt has failed: whether it is over, and if not, how long it waits. Changes nothing.

use std::time::Duration;

use super::course::told_of;
use super::held::Wish;
use super::stored::status_of;
use crate::envelope::Envelope;
use crate::error::Code;
use crate::jobs::{Record, Status, Time};

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// How long a job waits at least, and at most, that was not begun for no fault of its own.
const NOT_NOW: Duration = Duration::from_secs(1);
const MAX_NOT_NOW: Duration = Duration::from_secs(30);
/// What says that a call was not begun.
const NOT_BEGUN: [Code; 3] = [
    Code::Overloaded,
    Code::PluginUnavailable,
    Code::PluginNotFound,
];

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

/// What the operator says of attempts that fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Before the second attempt; doubles.
    pub(super) backoff: Duration,
    /// How long a job may be refused whenever it is to begin.
    pub(super) patience: Duration,
    /// What time it is.
    pub(super) now: Time,
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

/// Whether an error says only once more what the job's record says already: that it cannot begin.
pub(super) fn is_known(record: &Record, error: &Envelope) -> bool {
    NOT_BEGUN.contains(&error.code()) && refused_since(record).is_some()
}

/// Doubles with each attempt.
fn wait_before(attempt: u32, backoff: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    backoff.saturating_mul(doubled).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CallError;
    use crate::names::PluginName;
    use crate::services::jobs::clock::delta;
    use crate::services::jobs::stored::stored_error;
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
        let stored = Err(stored_error(&envelope));
        let (_, since) = told_of(&stored).unwrap();
        record.outcome = Some(stored);
        for (seconds, expected) in [
            (1, Verdict::Again(NOT_NOW, false)),
            (20, Verdict::Again(Duration::from_secs(10), false)),
            (61, Verdict::Over(Status::Failed)),
        ] {
            let rules = Rules {
                backoff: Duration::from_secs(1),
                patience: Duration::from_secs(60),
                now: since + delta(Duration::from_secs(seconds)),
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
