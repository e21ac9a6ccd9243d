//! Runs one job that this host has leased, through the chain, and settles what came of it. Claims nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::desks::{Desk, Ready, Turn};
use super::durable::Durable;
use super::held::{HeldJob, Wish};
use super::settle::settle;
use super::traces::AttemptSpan;
use crate::call::{Call, Payload};
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::jobs::Time;
use crate::validation::Output;

/// What one attempt came to.
pub(super) struct Attempt {
    /// When it began.
    pub(super) began: Time,
    /// What came of it.
    pub(super) outcome: Result<Output, Box<Envelope>>,
}

/// Begins as many of a desk's jobs as may run now; each that ends begins the next.
pub(super) fn begin(durable: &Arc<Durable>, desk: &Arc<Desk>) {
    while !durable.stop.is_cancelled()
        && let Some((job, turn)) = desk.next()
    {
        durable.tasks.spawn(run(Arc::clone(durable), job, turn));
    }
}

async fn run(durable: Arc<Durable>, job: Ready, turn: Turn) {
    let Ready {
        held,
        payload,
        seat,
    } = job;
    let desk = Arc::clone(turn.desk());
    fail::fail_point!("job.before_run");
    let attempt = attempt(&durable, &held, payload, &desk).await;
    fail::fail_point!("job.after_run");
    // The next may run while this one's end is made durable.
    drop(turn);
    begin(&durable, &desk);
    settle(&durable, &held, attempt).await;
    durable.held.remove(&held);
    durable.endings.tell(held.record.id);
    drop(seat);
}

/// One execution of the job's call.
async fn attempt(
    durable: &Durable,
    held: &Arc<HeldJob>,
    payload: Option<Payload>,
    desk: &Desk,
) -> Attempt {
    let began = durable.clock.now();
    let span = durable.traces.begin(held.record.id);
    let call = call(durable, held, payload).await;
    let outcome = match call {
        Ok(mut call) => {
            call.trace = span.as_ref().map(AttemptSpan::within);
            let call = Arc::new(call);
            held.set_call(&call);
            let entered = Instant::now();
            let outcome = durable.plugins.execute_plugin(Arc::clone(&call)).await;
            // One that was refused at the door says nothing of how long calls take.
            if call.generation().is_some() {
                desk.count(entered.elapsed().max(Duration::from_nanos(1)));
            }
            outcome
        }
        Err(error) => Err(Box::new(Envelope::new(&error, Some(&held.record.plugin)))),
    };
    if let Some(span) = span {
        let error = outcome.as_ref().err().map(|error| error.code());
        span.end(held, error);
    }
    Attempt { began, outcome }
}

/// The call that a job is.
async fn call(
    durable: &Durable,
    held: &Arc<HeldJob>,
    payload: Option<Payload>,
) -> Result<Call, CallError> {
    let record = &held.record;
    if durable.store.is_shared() && held.until() <= Instant::now() {
        held.end(Wish::Lost);
    }
    match held.wish() {
        Some(Wish::Cancel | Wish::Stop | Wish::Lost) => return Err(CallError::Cancelled),
        None if record.attempt > record.max_attempts => {
            let attempts = record.max_attempts;
            return Err(CallError::HostDied { attempts });
        }
        None => {}
    }
    let payload = match payload {
        Some(payload) => payload,
        None => fetch(durable, held).await?,
    };
    let mut call = Call::new(record.plugin.clone(), payload, record.mime_type.clone());
    let options = record.options.clone().map(RawValue::from_string);
    call.options = options
        .transpose()
        .map_err(|error| CallError::internal(format!("the options that were kept: {error}")))?;
    call.id = record.id;
    call.request_id = record.request_id.as_str().into();
    call.deadline = record.deadline;
    call.ear = Some(Arc::clone(&held.course) as _);
    Ok(call)
}

async fn fetch(durable: &Durable, held: &HeldJob) -> Result<Payload, CallError> {
    let image = &held.record.image;
    let gone =
        || CallError::internal("the image of the job is gone from the payload store".to_owned());
    let sha256 = image.sha256.ok_or_else(gone)?;
    let found = durable.payloads.get(sha256, image.bytes).await?;
    found.ok_or_else(gone)
}
