//! From calls to durable jobs: checked, their images kept, and all of them added in one step.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::clock::delta;
use super::desks::{Desk, Ready, Seat};
use super::dispatch::abandon;
use super::durable::{Durable, refused};
use super::idempotency::idempotency;
use super::payloads::Arriving;
use super::run::begin;
use super::{Submitted, Terms};
use crate::call::{Call, Payload};
use crate::config::Config;
use crate::envelope::Envelope;
use crate::error::{CallError, Code};
use crate::jobs::{Added, Image, NewJob, Time};
use crate::names::Digest;
use crate::services::callbacks;
use crate::trace::Trace;

/// How many images are kept at a time.
const AT_A_TIME: usize = 8;
/// The largest image that stays in memory until its job runs, in bytes.
const KEPT: usize = 1 << 20;

/// What becomes of each call.
pub(super) type Outcome = Result<Submitted, Box<Envelope>>;

/// A call whose image is kept.
struct Prepared {
    call: Call,
    sha256: Digest,
    data: Option<Bytes>,
    arriving: Arriving,
}

/// A job on its way into the store, and its place at a desk if it is to be run at once.
struct Entry {
    job: NewJob,
    payload: Option<Payload>,
    seat: Option<(Arc<Desk>, Seat)>,
    // Until the store knows that the job needs it.
    _arriving: Arriving,
    until: Instant,
}

/// Keeps calls as jobs. The outer error is of all of them.
pub(super) async fn submit(
    durable: &Arc<Durable>,
    calls: Vec<Call>,
    terms: &Terms,
) -> Result<Vec<Outcome>, CallError> {
    let (config, now) = (durable.running.load_full(), durable.clock.now());
    if let Some(url) = &terms.callback_url {
        let allowed = callbacks::check(url, &config.jobs.callbacks);
        allowed.map_err(|reason| CallError::CallbackRefused { reason })?;
    }
    let calls = in_order(calls);
    let count = calls.len();
    // One request has submitted them all.
    let trace = calls.first().and_then(|call| call.trace.clone());
    let prepared = stream::iter(calls).map(|call| prepare(durable, call));
    let prepared: Vec<_> = prepared.buffered(AT_A_TIME).collect().await;
    let mut entries = Vec::with_capacity(count);
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(count);
    for (index, prepared) in prepared.into_iter().enumerate() {
        match prepared {
            Ok(prepared) => {
                let place = (index, count);
                entries.push(entry(durable, &config, prepared, terms, place, now));
                outcomes.push(None);
            }
            // A disk that is full is nobody's fault among them, and the next would fare no better.
            Err(envelope) if envelope.code() == Code::StorageFull && count > 1 => {
                let problem = envelope.error.message.clone();
                return Err(CallError::StorageFull { problem });
            }
            Err(envelope) => outcomes.push(Some(Err(envelope))),
        }
    }
    let mut added = add(durable, entries, &trace).await?.into_iter();
    let outcome = |outcome: Option<Outcome>| outcome.or_else(|| added.next());
    Ok(outcomes.into_iter().filter_map(outcome).collect())
}

/// Ids order jobs by their submission: those of one submission too.
fn in_order(mut calls: Vec<Call>) -> Vec<Call> {
    let mut ids: Vec<_> = calls.iter().map(|call| call.id).collect();
    ids.sort_unstable();
    for (call, id) in calls.iter_mut().zip(ids) {
        call.id = id;
    }
    calls
}

async fn prepare(durable: &Durable, call: Call) -> Result<Prepared, Box<Envelope>> {
    let failed =
        |error: CallError, call: &Call| Box::new(Envelope::new(&error, Some(&call.plugin)));
    check(durable, &call).await?;
    match durable.payloads.prepare(&call.payload).await {
        Ok((sha256, data, arriving)) => {
            fail::fail_point!("job.payload_kept");
            Ok(Prepared {
                call,
                sha256,
                data,
                arriving,
            })
        }
        Err(error) => Err(failed(error, &call)),
    }
}

/// What can be told before a job is kept, is told then. A plugin that another host serves is known there.
async fn check(durable: &Durable, call: &Call) -> Result<(), Box<Envelope>> {
    let checked = durable.plugins.check(call).await;
    checked.or_else(|envelope| {
        let is_elsewhere = || durable.served.load().contains(&call.plugin);
        if envelope.code() == Code::PluginNotFound && is_elsewhere() {
            Ok(())
        } else {
            Err(envelope)
        }
    })
}

fn entry(
    durable: &Durable,
    config: &Config,
    prepared: Prepared,
    terms: &Terms,
    (index, count): (usize, usize),
    now: Time,
) -> Entry {
    let Prepared {
        call,
        sha256,
        data,
        arriving,
    } = prepared;
    let not_before = terms.not_before.filter(|time| *time > now);
    let desk = match not_before {
        None if !durable.stop.is_cancelled() => durable.desks.find(&call.plugin),
        _ => None,
    };
    let seat = desk.and_then(|desk| desk.seat().map(|seat| (desk, seat)));
    // Not from `now`: the picture may have taken long to keep.
    let (lease, until) = (durable.lease(), Instant::now() + durable.lease());
    let leased_until = durable.clock.now() + delta(lease);
    let job = NewJob {
        id: call.id,
        owner: terms.owner.clone(),
        request_id: call.request_id.to_string(),
        plugin: call.plugin.clone(),
        mime_type: call.mime_type.clone(),
        options: call
            .options
            .as_ref()
            .map(|options| options.get().to_owned()),
        image: Image {
            sha256: Some(sha256),
            bytes: call.payload.as_slice().len() as u64,
        },
        data,
        priority: terms.priority,
        not_before: not_before.unwrap_or(now),
        deadline: call.deadline,
        max_attempts: terms.max_attempts.unwrap_or(config.jobs.attempts),
        created_at: now,
        idempotency: idempotency(&call, sha256, terms, (index, count)),
        callback_url: terms.callback_url.clone(),
        claim: seat.is_some().then_some((durable.host, leased_until)),
    };
    let is_small = call.payload.as_slice().len() <= KEPT;
    let payload = (seat.is_some() && is_small).then_some(call.payload);
    Entry {
        job,
        payload,
        seat,
        _arriving: arriving,
        until,
    }
}

async fn add(
    durable: &Arc<Durable>,
    entries: Vec<Entry>,
    trace: &Option<Trace>,
) -> Result<Vec<Outcome>, CallError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    // Before they can be claimed.
    let ids = entries.iter().map(|entry| entry.job.id);
    durable.traces.note(ids, trace);
    let jobs = entries.iter().map(|entry| entry.job.clone()).collect();
    let added = durable.store.add(jobs).await.map_err(refused)?;
    let outcomes = entries.into_iter().zip(added).map(|(entry, added)| {
        if !matches!(added, Added::New) {
            durable.traces.forget(entry.job.id);
        }
        let Entry {
            job,
            payload,
            seat,
            until,
            ..
        } = entry;
        match added {
            Added::New => Ok(welcome(durable, job, payload, seat, until)),
            Added::Known(record) => Ok(Submitted {
                record: *record,
                is_new: false,
            }),
            Added::Conflict => {
                let key = job.idempotency.map(|word| word.key).unwrap_or_default();
                let error = CallError::KeyReused { key };
                Err(Box::new(Envelope::new(&error, Some(&job.plugin))))
            }
        }
    });
    Ok(outcomes.collect())
}

/// A job that is durable: it begins, or waits until somebody claims it.
fn welcome(
    durable: &Arc<Durable>,
    job: NewJob,
    payload: Option<Payload>,
    seat: Option<(Arc<Desk>, Seat)>,
    until: Instant,
) -> Submitted {
    let record = job.record();
    match seat {
        Some((desk, seat)) => {
            let held = durable.held.insert(record.clone(), until);
            desk.sit(Ready {
                held,
                payload,
                seat,
            });
            begin(durable, &desk);
            if durable.stop.is_cancelled() {
                abandon(durable);
            }
        }
        None => {
            if let Some(desk) = durable.desks.find(&record.plugin) {
                desk.set_backlog(true);
            }
        }
    }
    Submitted {
        record,
        is_new: true,
    }
}
