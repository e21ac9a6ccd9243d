//! What happens to one job on its way, told to whoever follows it. Knows no HTTP and no store.
//!
//! The beginning and the end of an attempt are not kept with the job: its record tells them. What comes between is.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::call::Ear;
use crate::jobs::{Record, Status, StoredOutcome};

/// The most events that are kept of a job.
const MOST: usize = 256;
/// The most events of one attempt that have numbers of their own, as a power of two.
const MOST_OF_ATTEMPT: u32 = 20;
/// The longest line of a plugin that is kept, in bytes.
const MAX_LINE: usize = 1 << 10;
/// Progress is told no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// One thing that happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Its place among all of the job, from 1; later ones are greater.
    pub id: u64,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// What happened.
    pub kind: JobEventKind,
    /// The facts: `fraction` of progress, `level` and `message` of a line, `attempt`, `status`, `code` and so on.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEventKind {
    /// An attempt began: `attempt`.
    Started,
    /// The plugin told how much is done: `fraction`.
    Progress,
    /// The plugin wrote a line to the log: `level`, `message`.
    Log,
    /// An attempt came to nothing, and there will be another: `attempt`, `code`, `message`, `not_before`.
    Retrying,
    /// The job is over: `status`, and `code` where it has an error. The last of a job.
    Ended,
}

/// The latest events of a job that this host has.
#[derive(Debug)]
pub(super) struct Course {
    state: Mutex<State>,
    // The number of the latest event; changing it is what wakes those who follow.
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<JobEvent>,
    told_progress: Option<Instant>,
}

impl Course {
    /// The course of a job that was claimed: what was kept of it before, and the beginning of this attempt.
    pub(super) fn of(record: &Record) -> Self {
        let events: VecDeque<_> = kept(record).into();
        let kept = events.back().map_or(0, |event| event.id);
        let last = kept.max(base(record));
        let course = Self {
            state: Mutex::new(State {
                events,
                told_progress: None,
            }),
            latest: watch::Sender::new(last),
        };
        let began = record.started_at.unwrap_or(record.created_at);
        course.tell(
            JobEventKind::Started,
            began,
            json!({ "attempt": record.attempt }),
        );
        course
    }

    /// Notes that something happened; `facts` is a JSON object.
    pub(super) fn tell(&self, kind: JobEventKind, time: DateTime<Utc>, facts: Value) {
        self.push(&mut self.lock(), kind, time, facts);
    }

    /// Notes that the job has come to its end, as `record` says.
    pub(super) fn end(&self, status: Status, code: Option<&str>, time: DateTime<Utc>) {
        self.tell(JobEventKind::Ended, time, ended(status, code));
    }

    /// What happened after the event of this number.
    pub(super) fn after(&self, id: u64) -> Vec<JobEvent> {
        let state = self.lock();
        let later = state.events.iter().filter(|event| event.id > id);
        later.cloned().collect()
    }

    /// Until there is an event after the one of this number.
    pub(super) async fn more(&self, id: u64) {
        let mut latest = self.latest.subscribe();
        // The sender is `self`, so that this ends with news only.
        let _ = latest.wait_for(|latest| *latest > id).await;
    }

    /// What is to be kept with the job: a JSON array; nothing where its record tells all.
    pub(super) fn log(&self) -> Option<String> {
        let state = self.lock();
        let tells =
            |event: &&JobEvent| !matches!(event.kind, JobEventKind::Started | JobEventKind::Ended);
        state.events.iter().any(|event| tells(&event)).then(|| {
            let kept: Vec<_> = state.events.iter().collect();
            serde_json::to_string(&kept).expect("text, numbers and maps by text")
        })
    }

    fn push(&self, state: &mut State, kind: JobEventKind, time: DateTime<Utc>, facts: Value) {
        let id = *self.latest.borrow() + 1;
        let facts = match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        };
        if state.events.len() == MOST {
            state.events.pop_front();
        }
        state.events.push_back(JobEvent {
            id,
            time,
            kind,
            facts,
        });
        self.latest.send_replace(id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear for Course {
    fn progress(&self, fraction: f32) {
        let mut state = self.lock();
        let recent = state
            .told_progress
            .is_some_and(|told| told.elapsed() < PROGRESS_EVERY);
        if recent && fraction < 1.0 {
            return;
        }
        state.told_progress = Some(Instant::now());
        let fraction = (f64::from(fraction) * 1e4).round() / 1e4;
        let facts = json!({ "fraction": fraction });
        self.push(&mut state, JobEventKind::Progress, Utc::now(), facts);
    }

    fn line(&self, level: &'static str, message: &str) {
        let message = &message[..message.floor_char_boundary(MAX_LINE)];
        let facts = json!({ "level": level, "message": message });
        self.tell(JobEventKind::Log, Utc::now(), facts);
    }
}

/// All that a record tells of its job's course: what was kept, or else what its fields say.
pub(super) fn events_of(record: &Record) -> Vec<JobEvent> {
    let mut events = kept(record);
    let mut last = match &record.log {
        Some(_) => events.last().map_or(0, |event| event.id),
        None => base(record),
    };
    let mut push = |kind, time, facts| {
        last += 1;
        let id = last;
        let facts = if let Value::Object(facts) = facts {
            facts
        } else {
            Map::new()
        };
        events.push(JobEvent {
            id,
            time,
            kind,
            facts,
        });
    };
    if record.log.is_none()
        && let Some(began) = record.started_at
    {
        push(
            JobEventKind::Started,
            began,
            json!({ "attempt": record.attempt }),
        );
    }
    if record.status.is_final() {
        let ended_at = record.finished_at.unwrap_or(record.created_at);
        let code = record.outcome.as_ref().and_then(code_of);
        push(
            JobEventKind::Ended,
            ended_at,
            ended(record.status, code.as_deref()),
        );
    }
    events
}

/// The number that an attempt begins after: they go up from one to the next though nothing was kept of it.
fn base(record: &Record) -> u64 {
    record.fence.unsigned_abs() << MOST_OF_ATTEMPT
}

/// What was kept with a job. What cannot be read is left out: it is for people, and nothing hangs on it.
fn kept(record: &Record) -> Vec<JobEvent> {
    let log = record.log.as_deref();
    log.and_then(|log| serde_json::from_str(log.get()).ok())
        .unwrap_or_default()
}

fn ended(status: Status, code: Option<&str>) -> Value {
    match code {
        Some(code) => json!({ "status": status.as_str(), "code": code }),
        None => json!({ "status": status.as_str() }),
    }
}

/// The `details.code` of an error that was kept.
pub(super) fn code_of(outcome: &StoredOutcome) -> Option<String> {
    told_of(outcome).map(|(code, _)| code)
}

/// The same, and when it happened.
pub(super) fn told_of(outcome: &StoredOutcome) -> Option<(String, DateTime<Utc>)> {
    #[derive(Deserialize)]
    struct Error {
        details: Details,
        timestamp: DateTime<Utc>,
    }
    #[derive(Deserialize)]
    struct Details {
        code: String,
    }
    let error = outcome.as_ref().err()?;
    let error: Error = serde_json::from_str(error.error.get()).ok()?;
    Some((error.details.code, error.timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::jobs::test_record;

    fn kinds(events: &[JobEvent]) -> Vec<(u64, JobEventKind)> {
        events.iter().map(|event| (event.id, event.kind)).collect()
    }

    #[test]
    fn what_the_record_tells_is_not_kept_besides() {
        let mut record = test_record();
        record.started_at = Some(record.created_at);
        let course = Course::of(&record);
        assert_eq!(course.log(), None);
        course.end(Status::Success, None, record.created_at);
        let live = course.after(0);
        (record.status, record.finished_at) = (Status::Success, Some(record.created_at));
        let looked_up = events_of(&record);
        assert_eq!(
            kinds(&live),
            [(1, JobEventKind::Started), (2, JobEventKind::Ended)],
            "fence 0"
        );
        assert_eq!(looked_up, live, "whoever comes later sees the same");
    }

    #[test]
    fn numbers_go_on_over_attempts() {
        let mut record = test_record();
        (record.started_at, record.fence) = (Some(record.created_at), 1);
        let course = Course::of(&record);
        course.line("warn", "half of it");
        let log = course.log().unwrap();
        record.log = Some(serde_json::value::RawValue::from_string(log).unwrap());
        (record.attempt, record.fence) = (2, 2);
        let second = Course::of(&record);
        let events = second.after(0);
        let (first, next) = (1 << MOST_OF_ATTEMPT, 2 << MOST_OF_ATTEMPT);
        let expected = [
            (first + 1, JobEventKind::Started),
            (first + 2, JobEventKind::Log),
            (next + 1, JobEventKind::Started),
        ];
        assert_eq!(kinds(&events), expected);
        assert_eq!(events[1].facts["message"], "half of it");
        assert_eq!(second.after(first + 2).len(), 1);
    }

    #[test]
    fn a_course_is_bounded_and_progress_is_not_told_for_each_step() {
        let course = Course::of(&test_record());
        for step in 0..10_000_u16 {
            course.progress(f32::from(step) / 10_000.0);
        }
        assert!(course.after(0).len() < 100, "{}", course.after(0).len());
        course.progress(1.0);
        let last = course.after(0).pop().unwrap();
        assert_eq!(last.facts["fraction"], 1.0, "the whole is always told");
        for _ in 0..1_000 {
            course.line("info", &"é".repeat(2_000));
        }
        let events = course.after(0);
        assert_eq!(events.len(), MOST);
        let longest = events.iter().filter_map(|it| it.facts["message"].as_str());
        assert!(longest.map(str::len).max().unwrap() <= MAX_LINE);
        assert_eq!(events.last().unwrap().id, *course.latest.borrow());
    }

    #[tokio::test]
    async fn who_follows_is_woken() {
        let course = std::sync::Arc::new(Course::of(&test_record()));
        let seen = course.after(0).last().unwrap().id;
        let following = std::sync::Arc::clone(&course);
        let waiting = tokio::spawn(async move { following.more(seen).await });
        course.line("info", "news");
        waiting.await.unwrap();
        assert_eq!(course.after(seen).len(), 1);
    }
}
