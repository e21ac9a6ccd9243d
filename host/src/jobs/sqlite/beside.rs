//! What lies beside the course of jobs: payloads in the store itself, hosts that live, callbacks.
//! Knows no connection.

use chrono::{DateTime, TimeDelta};
use rusqlite::{Row, params};
use uuid::Uuid;

use super::rows::{self, millis, record};
use super::session::{Done, Session};
use crate::jobs::record::{Record, Time};
use crate::jobs::store::{CallbackEnd, HostSeen, StoreError};
use crate::names::{Digest, PluginName};

/// How long a host is remembered that says nothing.
const MEMORY: TimeDelta = TimeDelta::days(1);

/// The callbacks that are due.
pub(super) const DUE: &str = "SELECT rowid FROM jobs INDEXED BY jobs_callback
    WHERE callback_due IS NOT NULL AND callback_due <= ?1 ORDER BY callback_due LIMIT ?2";

const TELL: &str = concat!(
    "UPDATE jobs SET callback_due = ?2, callback_attempts = callback_attempts + 1 WHERE rowid = ?1 RETURNING ",
    rows::columns!()
);

/// Keeps bytes. Those that are there already are not written again.
pub(super) fn put_data(session: &Session<'_>, sha256: Digest, data: &[u8], now: Time) -> Done<()> {
    const TOUCH: &str = "UPDATE data SET put_at = max(put_at, ?2) WHERE sha256 = ?1";
    const PUT: &str = "INSERT INTO data (sha256, put_at) VALUES (?1, ?2)";
    const PUT_BYTES: &str = "INSERT INTO data_bytes (sha256, bytes) VALUES (?1, ?2)";
    let moment = params![sha256.bytes(), millis(now)];
    if session.execute(TOUCH, moment)? == 0 {
        session.execute(PUT, moment)?;
        session.execute(PUT_BYTES, params![sha256.bytes(), data])?;
    }
    Ok(())
}

/// Bytes that are kept.
pub(super) fn data(session: &Session<'_>, sha256: Digest) -> Done<Option<Vec<u8>>> {
    const DATA: &str = "SELECT bytes FROM data_bytes WHERE sha256 = ?1";
    session.first(DATA, params![sha256.bytes()], |row| Ok(row.get(0)?))
}

/// Notes that a host lives, and gives all that do.
pub(super) fn heartbeat(
    session: &Session<'_>,
    host: &HostSeen,
    alive_since: Time,
) -> Done<Vec<HostSeen>> {
    const SEEN: &str = "INSERT INTO hosts (id, plugins, at) VALUES (?1, ?2, ?3)
        ON CONFLICT (id) DO UPDATE SET plugins = excluded.plugins, at = excluded.at";
    const FORGET: &str = "DELETE FROM hosts WHERE at < ?1";
    const ALIVE: &str = "SELECT id, plugins, at FROM hosts WHERE at >= ?1 ORDER BY id";
    let plugins: Vec<_> = host.plugins.iter().map(PluginName::as_str).collect();
    let plugins = plugins.join(" ");
    session.execute(SEEN, params![host.id.as_bytes(), plugins, millis(host.at)])?;
    session.execute(FORGET, params![millis(host.at - MEMORY)])?;
    session.all(ALIVE, params![millis(alive_since)], host_seen)
}

fn host_seen(row: &Row<'_>) -> Done<HostSeen> {
    let id = Uuid::from_bytes(row.get(0)?);
    let corrupt = |column| StoreError::Corrupt(format!("`{column}` of host {id}"));
    let plugins: String = row.get(1)?;
    let plugins = plugins.split_whitespace().map(PluginName::parse);
    let at = DateTime::from_timestamp_millis(row.get(2)?);
    Ok(HostSeen {
        id,
        plugins: plugins
            .collect::<Result<_, _>>()
            .map_err(|_| corrupt("plugins"))?,
        at: at.ok_or_else(|| corrupt("at"))?,
    })
}

/// Claims the telling of jobs.
pub(super) fn due_callbacks(
    session: &Session<'_>,
    now: Time,
    until: Time,
    most: u32,
) -> Done<Vec<Record>> {
    let due = session.all(DUE, params![millis(now), most], |row| {
        Ok(row.get::<_, i64>(0)?)
    })?;
    let tell = |rowid| session.first(TELL, params![rowid, millis(until)], record);
    due.into_iter()
        .filter_map(|rowid| tell(rowid).transpose())
        .collect()
}

/// Notes what came of telling somebody; of no matter where the job runs once more, and is to be told of anew.
pub(super) fn end_callback(session: &Session<'_>, end: &CallbackEnd) -> Done<()> {
    const END: &str =
        "UPDATE jobs SET callback_delivered_at = ?2, callback_due = ?3, callback_error = ?4
        WHERE id = ?1 AND status >= 2 AND callback_url IS NOT NULL";
    let (delivered_at, due) = (end.delivered_at.map(millis), end.due.map(millis));
    let params = params![end.job.as_bytes(), delivered_at, due, end.error];
    session.execute(END, params)?;
    Ok(())
}
