//! The course of a job under its lease: claimed, prolonged, finished, handed back. Knows no connection.

use rusqlite::params;

use super::add::use_payloads;
use super::rows::{self, OutcomeCells, millis, record};
use super::session::{Done, Session};
use crate::jobs::record::{Priority, Record, Status, StoredError, Time};
use crate::jobs::store::{Claim, End, HandBack, Held, Reclaim, Renewal, StoreError};

/// The oldest that wait, of one plugin and one priority.
pub(super) const NEXT: &str = "SELECT rowid FROM jobs INDEXED BY jobs_waiting
    WHERE status = 0 AND plugin = ?1 AND priority = ?2 AND not_before <= ?3
    ORDER BY not_before, id LIMIT ?4";

const CLAIM: &str = concat!(
    "UPDATE jobs SET status = 1, attempt = attempt + 1, fence = fence + 1, host = ?2, leased_until = ?3, ",
    "started_at = ?4, progress = 0, cancel_asked = 0 WHERE rowid = ?1 RETURNING ",
    rows::columns!()
);

const RENEW: &str = "UPDATE jobs SET leased_until = ?3, progress = ?4, log = ifnull(?5, log)
    WHERE id = ?1 AND fence = ?2 AND status = 1 RETURNING cancel_asked";

const FINISH: &str =
    "UPDATE jobs SET status = ?3, attempt = min(attempt, max_attempts), host = NULL,
    leased_until = NULL, cancel_asked = 0, started_at = ifnull(?4, started_at),
    finished_at = max(?5, ifnull(?4, ifnull(started_at, ?5))), generation = ?6, progress = ?7,
    log = ifnull(?8, log), output = ?9, error = ?10, internal = ?11, result = ?12,
    callback_due = CASE WHEN callback_url IS NOT NULL THEN ?5 END
    WHERE id = ?1 AND fence = ?2 AND status = 1";

const CANCEL_BACK: &str = "UPDATE jobs SET status = 4, attempt = min(attempt - ?3, max_attempts), host = NULL,
    leased_until = NULL, cancel_asked = 0, finished_at = max(?4, ifnull(started_at, ?4)), log = ifnull(?5, log),
    output = NULL, result = NULL, error = ?6, internal = ?7,
    callback_due = CASE WHEN callback_url IS NOT NULL THEN ?4 END
    WHERE id = ?1 AND fence = ?2 AND status = 1 AND cancel_asked";

const HAND_BACK: &str = "UPDATE jobs SET status = 0, attempt = attempt - ?3, host = NULL, leased_until = NULL,
    not_before = ?4, log = ifnull(?5, log), output = CASE WHEN ?6 IS NULL THEN output END,
    result = CASE WHEN ?6 IS NULL THEN result END, error = ifnull(?6, error), internal = ifnull(?7, internal)
    WHERE id = ?1 AND fence = ?2 AND status = 1";

/// Claims jobs that wait, for each plugin by priority.
pub(super) fn claim(session: &Session<'_>, claim: &Claim) -> Done<Vec<Record>> {
    let mut claimed = Vec::new();
    for (plugin, most) in &claim.plugins {
        let mut most = *most;
        for priority in Priority::ALL {
            let params = params![plugin.as_str(), priority.number(), millis(claim.now), most];
            let next = session.all(NEXT, params, |row| Ok(row.get::<_, i64>(0)?))?;
            most = most.saturating_sub(u32::try_from(next.len()).unwrap_or(u32::MAX));
            for rowid in next {
                claimed.extend(claim_one(session, rowid, claim)?);
            }
            if most == 0 {
                break;
            }
        }
    }
    Ok(claimed)
}

fn claim_one(session: &Session<'_>, rowid: i64, claim: &Claim) -> Done<Option<Record>> {
    let (until, now) = (millis(claim.until), millis(claim.now));
    let params = params![rowid, claim.host.as_bytes(), until, now];
    session.first(CLAIM, params, record)
}

/// Prolongs leases.
pub(super) fn renew(session: &Session<'_>, renewals: &[Renewal], until: Time) -> Done<Vec<Held>> {
    let renew = |renewal: &Renewal| {
        let lease = renewal.lease;
        let progress = f64::from(renewal.progress);
        let params = params![
            lease.job.as_bytes(),
            lease.fence,
            millis(until),
            progress,
            renewal.log
        ];
        let asked = session.first(RENEW, params, |row| Ok(row.get(0)?))?;
        Ok(match asked {
            Some(true) => Held::CancelAsked,
            Some(false) => Held::Kept,
            None => Held::Lost,
        })
    };
    renewals.iter().map(renew).collect()
}

/// Ends a job under its lease.
pub(super) fn finish(session: &Session<'_>, end: &End) -> Done<bool> {
    if !end.status.is_final() || end.outcome.is_ok() != (end.status == Status::Success) {
        let reason = format!("job {} cannot end so", end.lease.job);
        return Err(StoreError::Other(reason).into());
    }
    let outcome = OutcomeCells::of(&end.outcome);
    let changed = session.execute(
        FINISH,
        params![
            end.lease.job.as_bytes(),
            end.lease.fence,
            end.status.number(),
            end.started_at.map(millis),
            millis(end.finished_at),
            end.generation,
            f64::from(end.progress),
            end.log,
            outcome.output,
            outcome.error,
            outcome.internal,
            outcome.result,
        ],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    if let Ok(output) = &end.outcome {
        use_payloads(session, end.lease.job, rows::payloads(output))?;
    }
    Ok(true)
}

/// Lets a job wait again, or ends it where somebody wanted that.
pub(super) fn hand_back(session: &Session<'_>, back: &HandBack) -> Done<bool> {
    let (job, fence) = (back.lease.job.as_bytes(), back.lease.fence);
    let uncounted = !back.is_counted;
    let (error, internal) = texts(&back.cancelled);
    let params = params![
        job,
        fence,
        uncounted,
        millis(back.now),
        back.log,
        error,
        internal
    ];
    if session.execute(CANCEL_BACK, params)? == 1 {
        return Ok(true);
    }
    let (error, internal) = back.error.as_ref().map(texts).unzip();
    let not_before = millis(back.not_before);
    let params = params![job, fence, uncounted, not_before, back.log, error, internal];
    Ok(session.execute(HAND_BACK, params)? == 1)
}

/// Has jobs that were left wait again, or ends them where somebody wanted that.
pub(super) fn reclaim(
    session: &Session<'_>,
    which: Reclaim,
    cancelled: &StoredError,
    now: Time,
) -> Done<u64> {
    const CANCEL: &str = "UPDATE jobs INDEXED BY jobs_running SET status = 4, attempt = min(attempt, max_attempts), host = NULL,
        leased_until = NULL, cancel_asked = 0, finished_at = max(?3, ifnull(started_at, ?3)),
        output = NULL, result = NULL, error = ?4, internal = ?5,
        callback_due = CASE WHEN callback_url IS NOT NULL THEN ?3 END
        WHERE status = 1 AND cancel_asked AND (leased_until <= ?1 OR host = ?2)";
    const RETURN: &str = "UPDATE jobs INDEXED BY jobs_running SET status = 0, host = NULL, leased_until = NULL, not_before = ?3
        WHERE status = 1 AND (leased_until <= ?1 OR host = ?2)";
    let (expired, host) = match &which {
        Reclaim::Expired => (Some(millis(now)), None),
        Reclaim::Of(host) => (None, Some(host.as_bytes())),
    };
    let (error, internal) = texts(cancelled);
    let now = millis(now);
    let ended = session.execute(CANCEL, params![expired, host, now, error, internal])?;
    let waiting = session.execute(RETURN, params![expired, host, now])?;
    Ok(u64::try_from(ended + waiting).unwrap_or(u64::MAX))
}

/// The two texts of an error.
pub(super) fn texts(error: &StoredError) -> (&str, &str) {
    (error.error.get(), error.internal.get())
}
