//! What is asked of a job from outside: to end, or to run once more. Knows no connection.

use rusqlite::params;
use uuid::Uuid;

use super::rows::{self, millis, record};
use super::run::texts;
use super::session::{Done, Session};
use crate::jobs::record::{Record, Status, StoredError, Time};
use crate::jobs::store::{Cancelled, Retried};

const GET: &str = concat!(
    "SELECT ",
    rows::columns!(),
    " FROM jobs WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)"
);

const END_PENDING: &str = concat!(
    "UPDATE jobs SET status = ?2, attempt = min(attempt, max_attempts), finished_at = max(?3, ifnull(started_at, ?3)), output = NULL, result = NULL, ",
    "error = ?4, internal = ?5, callback_due = CASE WHEN callback_url IS NOT NULL THEN ?3 END ",
    "WHERE id = ?1 AND status = 0 RETURNING ",
    rows::columns!()
);

const ASK: &str = concat!(
    "UPDATE jobs SET cancel_asked = 1 WHERE id = ?1 AND status = 1 RETURNING ",
    rows::columns!()
);

const RETRY: &str = concat!(
    "UPDATE jobs SET status = 0, not_before = ?2, attempt = 0, started_at = NULL, finished_at = NULL, ",
    "generation = NULL, progress = 0, cancel_asked = 0, output = NULL, result = NULL, error = NULL, ",
    "internal = NULL, log = NULL, callback_attempts = 0, callback_due = NULL, callback_delivered_at = NULL, ",
    "callback_error = NULL WHERE id = ?1 AND status IN (3, 4) RETURNING ",
    rows::columns!()
);

/// A job as it stands.
pub(super) fn get(session: &Session<'_>, id: Uuid, owner: Option<&str>) -> Done<Option<Record>> {
    session.first(GET, params![id.as_bytes(), owner], record)
}

/// Ends a job that waits, or asks who runs it to.
pub(super) fn cancel(
    session: &Session<'_>,
    id: Uuid,
    owner: Option<&str>,
    error: &StoredError,
    now: Time,
) -> Done<Cancelled> {
    let Some(found) = get(session, id, owner)? else {
        return Ok(Cancelled::Unknown);
    };
    let changed = match found.status {
        Status::Pending => end_pending(session, id, Status::Cancelled, error, now)?,
        Status::Running => session.first(ASK, params![id.as_bytes()], record)?,
        Status::Success | Status::Failed | Status::Cancelled => None,
    };
    let job = Box::new(changed.unwrap_or(found));
    Ok(if job.status.is_final() {
        Cancelled::Ended(job)
    } else {
        Cancelled::Asked(job)
    })
}

/// Ends a job that waits as failed.
pub(super) fn fail_pending(
    session: &Session<'_>,
    id: Uuid,
    error: &StoredError,
    now: Time,
) -> Done<bool> {
    let ended = end_pending(session, id, Status::Failed, error, now)?;
    Ok(ended.is_some())
}

/// Has a job that failed run once more.
pub(super) fn retry(
    session: &Session<'_>,
    id: Uuid,
    owner: Option<&str>,
    now: Time,
) -> Done<Retried> {
    let Some(found) = get(session, id, owner)? else {
        return Ok(Retried::Unknown);
    };
    // Without its image it can be run by nobody.
    if found.image.sha256.is_none() {
        return Ok(Retried::Refused(Box::new(found)));
    }
    let retried = session.first(RETRY, params![id.as_bytes(), millis(now)], record)?;
    Ok(match retried {
        Some(job) => Retried::Pending(Box::new(job)),
        None => Retried::Refused(Box::new(found)),
    })
}

fn end_pending(
    session: &Session<'_>,
    id: Uuid,
    status: Status,
    error: &StoredError,
    now: Time,
) -> Done<Option<Record>> {
    let (error, internal) = texts(error);
    let params = params![id.as_bytes(), status.number(), millis(now), error, internal];
    session.first(END_PENDING, params, record)
}
