//! What is kept no longer: jobs that ended long ago, payloads that no job needs. Knows no connection.

use rusqlite::params;
use uuid::Uuid;

use super::rows::{kind_number, millis, needed, size};
use super::session::{Done, Session};
use crate::jobs::record::{Kind, Time};
use crate::jobs::store::Forget;

/// The latest of a kind that is beyond the number to keep.
pub(super) const BEYOND: &str = "SELECT finished_at, id FROM jobs INDEXED BY jobs_ended_at
    WHERE status >= 2 AND kind = ?1 ORDER BY finished_at DESC, id DESC LIMIT 1 OFFSET ?2";

/// The oldest of a kind up to there.
pub(super) const OLDEST: &str = "SELECT finished_at, id, rowid FROM jobs INDEXED BY jobs_ended_at
    WHERE status >= 2 AND kind = ?1 AND (finished_at, id) <= (?2, ?3) AND callback_due IS NULL
    ORDER BY finished_at, id LIMIT ?4";

// Where a job stands among those that have ended, and its row.
type Ended = (i64, [u8; 16], i64);

/// Removes jobs.
pub(super) fn forget(session: &Session<'_>, forget: Forget) -> Done<u64> {
    let mut oldest = Vec::new();
    for kind in [Kind::Submitted, Kind::Analysis] {
        oldest.extend(oldest_of(session, kind, forget)?);
    }
    oldest.sort_unstable();
    oldest.truncate(usize::try_from(forget.most).unwrap_or(usize::MAX));
    for (_, _, rowid) in &oldest {
        remove(session, *rowid)?;
    }
    Ok(count(oldest.len()))
}

fn oldest_of(session: &Session<'_>, kind: Kind, forget: Forget) -> Done<Vec<Ended>> {
    let kind = kind_number(kind);
    let beyond = params![kind, size(forget.keep)];
    let beyond = session.first(BEYOND, beyond, |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The last that ended before is the last of the millisecond before.
    let before = (millis(forget.ended_before) - 1, Uuid::max().into_bytes());
    let (at, id) = beyond.map_or(before, |beyond| before.max(beyond));
    session.all(OLDEST, params![kind, at, id, forget.most], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

fn remove(session: &Session<'_>, rowid: i64) -> Done<()> {
    const REMOVE: &str = "DELETE FROM jobs WHERE rowid = ?1 RETURNING id, image_sha256, output";
    const UNUSE: &str = "DELETE FROM uses WHERE sha256 = ?1 AND job = ?2";
    let Some((job, payloads)) = session.first(REMOVE, params![rowid], needed)? else {
        return Ok(());
    };
    payloads.iter().try_for_each(|sha256| {
        session.execute(UNUSE, params![sha256.bytes(), job.as_bytes()])?;
        Ok(())
    })
}

/// Payloads that nobody has put since and no job needs, by what a reader sees.
pub(super) fn unused_data(session: &Session<'_>, before: Time) -> Done<Vec<[u8; 32]>> {
    const UNUSED: &str = "SELECT sha256 FROM data WHERE put_at < ?1
        AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.sha256 = data.sha256)";
    session.all(UNUSED, params![millis(before)], |row| Ok(row.get(0)?))
}

/// Removes those of `payloads` of which that is still so.
pub(super) fn forget_data(session: &Session<'_>, payloads: &[[u8; 32]], before: Time) -> Done<u64> {
    const FORGET: &str = "DELETE FROM data WHERE sha256 = ?1 AND put_at < ?2
        AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.sha256 = data.sha256)";
    const FORGET_BYTES: &str = "DELETE FROM data_bytes WHERE sha256 = ?1";
    let mut forgotten = 0;
    for sha256 in payloads {
        if session.execute(FORGET, params![sha256, millis(before)])? == 1 {
            session.execute(FORGET_BYTES, params![sha256])?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
