//! Jobs that come in: submitted, or over already. Knows no connection.

use std::iter;

use rusqlite::params;
use uuid::Uuid;

use super::beside::put_data;
use super::rows::{self, OutcomeCells, kind_number, millis, record, size};
use super::session::{Done, Session};
use crate::jobs::record::Record;
use crate::jobs::store::{Added, Idempotency, NewJob, StoreError};
use crate::names::Digest;

const INSERT: &str = concat!(
    "INSERT INTO jobs (",
    rows::columns!(),
    ", idempotency_key, idempotency_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

const IS_KNOWN: &str = "SELECT 1 FROM jobs WHERE id = ?";

const OF_THEN: &str = "SELECT id, idempotency_digest FROM jobs
    WHERE idempotency_key = ?1 AND ifnull(owner, x'') = ifnull(?2, x'')";

const GET: &str = concat!("SELECT ", rows::columns!(), " FROM jobs WHERE id = ?");

/// Adds all of `jobs`, or fails.
pub(super) fn add(session: &Session<'_>, jobs: &[NewJob]) -> Done<Vec<Added>> {
    jobs.iter().map(|job| add_one(session, job)).collect()
}

/// Notes what is over, unless it is known.
pub(super) fn note(session: &Session<'_>, ended: &[Record]) -> Done<()> {
    ended.iter().try_for_each(|record| {
        if !record.status.is_final() || record.finished_at.is_none() {
            let reason = format!("job {} is noted before its end", record.id);
            return Err(StoreError::Other(reason).into());
        }
        let id = record.id.as_bytes();
        let known = session.first(IS_KNOWN, params![id], |_| Ok(()))?;
        match known {
            Some(()) => Ok(()),
            None => insert(session, record, None),
        }
    })
}

/// Says which payloads a job needs.
pub(super) fn use_payloads(
    session: &Session<'_>,
    job: Uuid,
    payloads: impl IntoIterator<Item = Digest>,
) -> Done<()> {
    const USE: &str = "INSERT INTO uses (sha256, job) VALUES (?, ?) ON CONFLICT DO NOTHING";
    payloads.into_iter().try_for_each(|sha256| {
        session.execute(USE, params![sha256.bytes(), job.as_bytes()])?;
        Ok(())
    })
}

fn add_one(session: &Session<'_>, job: &NewJob) -> Done<Added> {
    if let Some(idempotency) = &job.idempotency
        && let Some(known) = of_then(session, job, idempotency)?
    {
        return Ok(known);
    }
    insert(session, &job.record(), job.idempotency.as_ref())?;
    if let (Some(data), Some(sha256)) = (&job.data, job.image.sha256) {
        put_data(session, sha256, data, job.created_at)?;
    }
    Ok(Added::New)
}

fn of_then(session: &Session<'_>, job: &NewJob, new: &Idempotency) -> Done<Option<Added>> {
    let found = session.first(OF_THEN, params![new.key, job.owner], |row| {
        Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 32]>(1)?))
    })?;
    let Some((id, digest)) = found else {
        return Ok(None);
    };
    if digest != *new.digest.bytes() {
        return Ok(Some(Added::Conflict));
    }
    let known = session.first(GET, params![id], record)?;
    Ok(known.map(|record| Added::Known(Box::new(record))))
}

fn insert(session: &Session<'_>, job: &Record, new: Option<&Idempotency>) -> Done<()> {
    let outcome = job.outcome.as_ref().map(OutcomeCells::of);
    let outcome = outcome.unwrap_or_default();
    let callback = job.callback.as_ref();
    session.execute(
        INSERT,
        params![
            job.id.as_bytes(),
            kind_number(job.kind),
            job.owner,
            job.request_id,
            job.plugin.as_str(),
            job.mime_type,
            job.image.sha256.as_ref().map(Digest::bytes),
            size(job.image.bytes),
            job.priority.number(),
            job.status.number(),
            job.attempt,
            job.max_attempts,
            job.fence,
            job.host.as_ref().map(Uuid::as_bytes),
            job.leased_until.map(millis),
            millis(job.not_before),
            job.deadline.map(rows::length),
            job.cancel_asked,
            millis(job.created_at),
            job.started_at.map(millis),
            job.finished_at.map(millis),
            job.generation,
            f64::from(job.progress),
            callback.map(|callback| &callback.url),
            callback.map_or(0, |callback| callback.attempts),
            callback.and_then(|callback| callback.due).map(millis),
            callback
                .and_then(|callback| callback.delivered_at)
                .map(millis),
            callback.and_then(|callback| callback.error.as_ref()),
            outcome.output,
            outcome.error,
            outcome.internal,
            outcome.result,
            job.options,
            job.log.as_ref().map(|log| log.get()),
            new.map(|new| &new.key),
            new.map(|new| new.digest.bytes()),
        ],
    )?;
    let of_output = job
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.as_ref().ok());
    let of_output = of_output.map(rows::payloads).unwrap_or_default();
    use_payloads(session, job.id, iter::chain(job.image.sha256, of_output))
}
