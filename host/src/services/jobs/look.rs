//! Looks at jobs: one, many, their results, their way. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::clock::delta;
use super::course::{Course, JobEvent, JobEventKind, events_of};
use super::durable::{Durable, refused};
use super::held::HeldJob;
use crate::call::Payload;
use crate::error::CallError;
use crate::jobs::{Record, StoredAttachment, StoredOutcome, StoredResult, Time};

/// How often a job that another host runs is looked at, and one that nobody runs yet.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The id in a text that came from outside.
pub(super) fn parse(id: &str) -> Result<Uuid, CallError> {
    Uuid::parse_str(id).map_err(|_| unknown(id))
}

/// No such job.
pub(super) fn unknown(id: &str) -> CallError {
    CallError::UnknownJob {
        id: id.escape_default().take(64).collect(),
    }
}

/// A job as it stands.
pub(super) async fn record(
    durable: &Durable,
    id: Uuid,
    owner: Option<&str>,
) -> Result<Record, CallError> {
    let found = durable.store.get(id, owner.map(str::to_owned)).await;
    let found = found.map_err(refused)?;
    found
        .map(|found| live(durable, found))
        .ok_or_else(|| absent(durable, id))
}

/// A job that runs here has come further than its record says.
fn live(durable: &Durable, mut record: Record) -> Record {
    if record.status.is_final() {
        return record;
    }
    if let Some(held) = durable.held.find(record.id)
        && held.record.fence == record.fence
    {
        record.progress = held.progress();
        record.generation = held.generation();
    }
    record
}

/// Why there is no such job: it never was, or is past its retention.
fn absent(durable: &Durable, id: Uuid) -> CallError {
    let age = durable.running.load().jobs.retention.age.duration();
    let was = made(id).is_some_and(|made| {
        made >= durable.store.since() && made + delta(age) <= durable.clock.now()
    });
    let id = id.to_string();
    if was {
        CallError::ExpiredJob { id }
    } else {
        CallError::UnknownJob { id }
    }
}

/// When an id was made, as it says itself.
fn made(id: Uuid) -> Option<Time> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

/// A job as it stands once it has ended, or `up_to` is over.
pub(super) async fn wait(
    durable: &Durable,
    id: Uuid,
    owner: Option<&str>,
    up_to: Duration,
) -> Result<Record, CallError> {
    let until = Instant::now() + up_to;
    let mut waiter = durable.endings.wait(id);
    let is_ours =
        |held: &Arc<HeldJob>| owner.is_none_or(|it| held.record.owner.as_deref() == Some(it));
    if durable.held.find(id).is_some_and(|held| is_ours(&held)) {
        // It runs here, so that its end is told here: no look at the store says more before that.
        let _ = tokio::time::timeout_at(until, waiter.news()).await;
    }
    loop {
        let record = record(durable, id, owner).await?;
        let now = Instant::now();
        if record.status.is_final() || now >= until {
            return Ok(record);
        }
        tokio::select! {
            () = waiter.news() => {}
            () = tokio::time::sleep_until(until.min(now + LOOK_EVERY)) => {}
        }
    }
}

/// The JSON of a job's result, if it has one.
pub(super) async fn result(
    durable: &Durable,
    outcome: &StoredOutcome,
) -> Result<Option<Payload>, CallError> {
    let Ok(output) = outcome else {
        return Ok(None);
    };
    match &output.result {
        None => Ok(None),
        Some(StoredResult::Inline(json)) => Ok(Some(Payload::Heap(json.clone()))),
        Some(StoredResult::Payload { sha256, bytes }) => {
            let found = durable.payloads.get(*sha256, *bytes).await?;
            let gone =
                || CallError::internal("the result is gone from the payload store".to_owned());
            found.map(Some).ok_or_else(gone)
        }
    }
}

/// The bytes of an attachment.
pub(super) async fn attachment(
    durable: &Durable,
    attachment: &StoredAttachment,
) -> Result<Payload, CallError> {
    let found = durable
        .payloads
        .get(attachment.sha256, attachment.bytes)
        .await?;
    let gone = || CallError::internal("the attachment is gone from the payload store".to_owned());
    found.ok_or_else(gone)
}

/// Follows one job: what happens to it here as it happens, what happens elsewhere now and then.
pub struct Follower {
    durable: Arc<Durable>,
    id: Uuid,
    owner: Option<String>,
    seen: u64,
    pending: std::vec::IntoIter<JobEvent>,
    is_over: bool,
}

impl Follower {
    pub(super) fn new(
        durable: Arc<Durable>,
        record: &Record,
        owner: Option<&str>,
        after: u64,
    ) -> Self {
        let mut follower = Self {
            durable,
            id: record.id,
            owner: owner.map(str::to_owned),
            seen: after,
            pending: Vec::new().into_iter(),
            is_over: record.status.is_final(),
        };
        if record.status.is_final() {
            follower.take(events_of(record));
        }
        follower
    }

    /// What happened next, once it does; `None` after the last, and where the job is gone.
    pub async fn next(&mut self) -> Option<JobEvent> {
        loop {
            if let Some(event) = self.pending.next() {
                self.seen = event.id;
                self.is_over = event.kind == JobEventKind::Ended;
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            self.look().await?;
        }
    }

    /// Fetches what is new, or waits until something may be.
    async fn look(&mut self) -> Option<()> {
        let durable = Arc::clone(&self.durable);
        let mut waiter = durable.endings.wait(self.id);
        if let Some(held) = durable.held.find(self.id) {
            return self.hear(&held.course, &mut waiter).await;
        }
        let record = record(&durable, self.id, self.owner.as_deref())
            .await
            .ok()?;
        let is_final = record.status.is_final();
        if self.take(events_of(&record)) {
            return Some(());
        }
        if is_final {
            self.is_over = true;
            return Some(());
        }
        tokio::select! {
            () = waiter.news() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        Some(())
    }

    async fn hear(
        &mut self,
        course: &Course,
        waiter: &mut super::durable::Waiter<'_>,
    ) -> Option<()> {
        if !self.take(course.after(self.seen)) {
            tokio::select! {
                () = course.more(self.seen) => {}
                // The host has let go of it: what is to come is in the store.
                () = waiter.news() => {}
            }
        }
        Some(())
    }

    /// Whether there is anything among these that is new.
    fn take(&mut self, events: Vec<JobEvent>) -> bool {
        let seen = self.seen;
        let new: Vec<_> = events.into_iter().filter(|event| event.id > seen).collect();
        let any = !new.is_empty();
        if any {
            self.pending = new.into_iter();
        }
        any
    }
}
