//! Looks at many jobs: lists, counts, who waits. Each goes along an index that holds just what it asks for, so that
//! it takes no longer with a hundred thousand jobs. Knows no connection.

use chrono::DateTime;
use rusqlite::{Row, params};
use uuid::Uuid;

use super::rows::{self, kind_number, millis, record};
use super::session::{Done, Session};
use crate::jobs::record::{Kind, Priority, Record, Status, Time};
use crate::jobs::store::{Listing, StoreError};
use crate::names::{Digest, PluginName};

/// The latest that wait.
pub(super) const PENDING: &str = "SELECT id, rowid FROM jobs INDEXED BY jobs_pending
    WHERE status = 0 AND id < ?1 AND (?2 IS NULL OR plugin = ?2) AND (?3 IS NULL OR owner = ?3)
    ORDER BY id DESC LIMIT ?4";

/// The latest that run: never many.
pub(super) const RUNNING: &str = "SELECT id, rowid FROM jobs INDEXED BY jobs_running
    WHERE status = 1 AND id < ?1 AND (?2 IS NULL OR plugin = ?2) AND (?3 IS NULL OR owner = ?3)
    ORDER BY id DESC LIMIT ?4";

/// The latest of one kind that ended one way.
pub(super) const ENDED: &str = "SELECT id, rowid FROM jobs INDEXED BY jobs_ended_by_kind
    WHERE status >= 2 AND kind = ?4 AND status = ?5 AND id < ?1 AND (?2 IS NULL OR owner = ?2)
    ORDER BY id DESC LIMIT ?3";

/// The same of one plugin.
pub(super) const ENDED_OF: &str = "SELECT id, rowid FROM jobs INDEXED BY jobs_ended_by_plugin
    WHERE status >= 2 AND plugin = ?6 AND kind = ?4 AND status = ?5 AND id < ?1 AND (?2 IS NULL OR owner = ?2)
    ORDER BY id DESC LIMIT ?3";

const LISTED: &str = concat!(
    "SELECT ",
    rows::listed_columns!(),
    " FROM jobs WHERE rowid = ?"
);

const FULL: &str = concat!("SELECT ", rows::columns!(), " FROM jobs WHERE rowid = ?");

/// When the next of one plugin and one priority is due.
pub(super) const NEXT_DUE: &str = "SELECT not_before FROM jobs INDEXED BY jobs_waiting
    WHERE status = 0 AND plugin = ?1 AND priority = ?2 ORDER BY not_before LIMIT 1";

/// The next plugin by name that somebody waits for.
pub(super) const NEXT_PLUGIN: &str = "SELECT plugin FROM jobs INDEXED BY jobs_waiting
    WHERE status = 0 AND plugin > ?1 ORDER BY plugin LIMIT 1";

/// Those of one plugin and one priority that have waited longest.
pub(super) const WAITING: &str = "SELECT not_before, id, rowid FROM jobs INDEXED BY jobs_waiting
    WHERE status = 0 AND plugin = ?1 AND priority = ?2 AND not_before <= ?3
    ORDER BY not_before, id LIMIT ?4";

// A job by its id, and its row.
type Found = ([u8; 16], i64);

/// The latest jobs that fit, without results, logs and options.
pub(super) fn list(session: &Session<'_>, listing: &Listing) -> Done<Vec<Record>> {
    as_one(session, || {
        let mut found = unfinished(session, listing)?;
        found.extend(ended(session, listing)?);
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.truncate(usize::try_from(listing.limit).unwrap_or(usize::MAX));
        let listed = found.into_iter().map(|(_, rowid)| {
            let found = session.first(LISTED, params![rowid], record)?;
            Ok(found.map(without_result))
        });
        listed.filter_map(Result::transpose).collect()
    })
}

fn unfinished(session: &Session<'_>, listing: &Listing) -> Done<Vec<Found>> {
    // Nobody waits for an analysis here: it is noted when it is over.
    if listing.kind == Some(Kind::Analysis) {
        return Ok(Vec::new());
    }
    let plugin = listing.plugin.as_ref().map(PluginName::as_str);
    let params = params![before(listing), plugin, listing.owner, listing.limit];
    let mut all = Vec::new();
    for (status, sql) in [(Status::Pending, PENDING), (Status::Running, RUNNING)] {
        if listing.status.is_none_or(|wanted| wanted == status) {
            all.extend(session.all(sql, params, found)?);
        }
    }
    Ok(all)
}

fn ended(session: &Session<'_>, listing: &Listing) -> Done<Vec<Found>> {
    let mut all = Vec::new();
    for kind in [Kind::Submitted, Kind::Analysis] {
        for status in Status::ALL.into_iter().filter(|status| status.is_final()) {
            let fits = listing.kind.is_none_or(|wanted| wanted == kind)
                && listing.status.is_none_or(|wanted| wanted == status);
            if fits {
                all.extend(ended_so(session, listing, kind, status)?);
            }
        }
    }
    Ok(all)
}

fn ended_so(
    session: &Session<'_>,
    listing: &Listing,
    kind: Kind,
    status: Status,
) -> Done<Vec<Found>> {
    let (before, owner, limit) = (before(listing), &listing.owner, listing.limit);
    let (kind, status) = (kind_number(kind), status.number());
    match &listing.plugin {
        Some(plugin) => {
            let params = params![before, owner, limit, kind, status, plugin.as_str()];
            session.all(ENDED_OF, params, found)
        }
        None => session.all(ENDED, params![before, owner, limit, kind, status], found),
    }
}

fn before(listing: &Listing) -> [u8; 16] {
    listing.before.unwrap_or(Uuid::max()).into_bytes()
}

fn found(row: &Row<'_>) -> Done<Found> {
    Ok((row.get(0)?, row.get(1)?))
}

fn without_result(mut record: Record) -> Record {
    if let Some(Ok(output)) = &mut record.outcome {
        output.result = None;
    }
    record
}

/// How many submitted jobs there are of each status.
pub(super) fn count(session: &Session<'_>) -> Done<Vec<(Status, u64)>> {
    const PENDING: &str = "SELECT count(*) FROM jobs INDEXED BY jobs_pending WHERE status = 0";
    const RUNNING: &str = "SELECT count(*) FROM jobs INDEXED BY jobs_running WHERE status = 1";
    const ENDED: &str = "SELECT count(*) FROM jobs INDEXED BY jobs_ended_by_kind
        WHERE status >= 2 AND kind = 0 AND status = ?1";
    let number = |row: &Row<'_>| Ok(row.get::<_, i64>(0)?);
    as_one(session, || {
        let mut counts = Vec::new();
        for status in Status::ALL {
            let counted = match status {
                Status::Pending => session.first(PENDING, (), number)?,
                Status::Running => session.first(RUNNING, (), number)?,
                _ => session.first(ENDED, params![status.number()], number)?,
            };
            let counted = counted.and_then(|counted| u64::try_from(counted).ok());
            counts.extend(
                counted
                    .filter(|counted| *counted > 0)
                    .map(|counted| (status, counted)),
            );
        }
        Ok(counts)
    })
}

/// Jobs that wait for plugins that nobody serves, those that have waited longest first.
pub(super) fn waiting_without(
    session: &Session<'_>,
    served: &[PluginName],
    due_before: Time,
    most: u32,
) -> Done<Vec<Record>> {
    as_one(session, || {
        let mut oldest: Vec<(i64, [u8; 16], i64)> = Vec::new();
        let mut plugin = String::new();
        while let Some(next) = session.first(NEXT_PLUGIN, [&plugin], |row| Ok(row.get(0)?))? {
            plugin = next;
            if served.iter().any(|served| served.as_str() == plugin) {
                continue;
            }
            for priority in Priority::ALL {
                let params = params![plugin, priority.number(), millis(due_before), most];
                oldest.extend(session.all(WAITING, params, |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?);
            }
            oldest.sort_unstable();
            oldest.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        let records = oldest
            .into_iter()
            .map(|(_, _, rowid)| session.first(FULL, [rowid], record));
        records.filter_map(Result::transpose).collect()
    })
}

/// When the next job of these plugins is due.
pub(super) fn next_due(session: &Session<'_>, plugins: &[PluginName]) -> Done<Option<Time>> {
    as_one(session, || {
        let mut next: Option<i64> = None;
        for plugin in plugins {
            for priority in Priority::ALL {
                let params = params![plugin.as_str(), priority.number()];
                let due = session.first(NEXT_DUE, params, |row| Ok(row.get(0)?))?;
                next = next.into_iter().chain(due).min();
            }
        }
        let read = |millis| {
            let corrupt = || StoreError::Corrupt("`not_before` of a job that waits".to_owned());
            DateTime::from_timestamp_millis(millis).ok_or_else(corrupt)
        };
        Ok(next.map(read).transpose()?)
    })
}

/// Which of these no job needs.
pub(super) fn unused(session: &Session<'_>, payloads: &[Digest]) -> Done<Vec<Digest>> {
    const USED: &str = "SELECT 1 FROM uses WHERE sha256 = ?1 LIMIT 1";
    let mut unused = Vec::new();
    for sha256 in payloads {
        let used = session.first(USED, params![sha256.bytes()], |_| Ok(()))?;
        unused.extend(used.is_none().then_some(*sha256));
    }
    Ok(unused)
}

/// Several looks that see the database in one and the same state. Whoever runs this ends a transaction that an error
/// has left open.
fn as_one<T>(session: &Session<'_>, look: impl FnOnce() -> Done<T>) -> Done<T> {
    session.execute("BEGIN", ())?;
    let seen = look()?;
    session.execute("COMMIT", ())?;
    Ok(seen)
}
