//! `GET /v1/jobs/{id}/events`: what happens to one job, as server-sent events, up to its end.

use std::str::FromStr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::Event as Frame;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::access::Caller;
use super::super::analyze::fields;
use super::super::answer::Failure;
use super::super::query::{self, KIND};
use super::super::{Api, ServerState, sse};
use super::record::timestamp;
use crate::error::CallError;
use crate::services::{Follower, JobEvent, JobEventKind};

const PARAMETERS: [&str; 1] = ["last_event_id"];

/// `GET /v1/jobs/{id}/events`
///
/// A client that has heard the end is told that there is nothing more, ever: a browser then stays away.
pub(in crate::http) async fn follow(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let asked = read(&uri)?;
    let Number(after) = sse::last_event_id(&headers)?.or(asked).unwrap_or_default();
    let jobs = &api.services.jobs;
    let record = jobs.look_up(&id, caller.sees()).await?;
    let mut follower = jobs.follow_job(&id, caller.sees(), after).await?;
    let mut first = None;
    if record.status.is_final() {
        first = follower.next().await;
        if first.is_none() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let reader = Reader {
        job: record.id,
        first,
        follower,
        state: Arc::clone(&api.services.state),
        greets: true,
    };
    let frames = stream::unfold(reader, async |mut reader| {
        let frame = reader.next().await?;
        Some((frame, reader))
    });
    Ok(sse::answer(&api, frames)?)
}

fn read(uri: &Uri) -> Result<Option<Number>, CallError> {
    let mut after = None;
    for (name, value) in query::pairs(uri)? {
        let put = match &*name {
            "last_event_id" => {
                let number = value.parse().map_err(CallError::malformed)?;
                fields::put(&mut after, number, KIND, &name)
            }
            other => Err(fields::unknown(KIND, other, &PARAMETERS)),
        };
        put.map_err(CallError::malformed)?;
    }
    Ok(after)
}

/// The number of an event of a job; 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Number(u64);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse().ok()).flatten();
        number.map(Self).ok_or_else(|| {
            let found: String = text.escape_debug().take(64).collect();
            format!("`{found}` is no id of an event of a job: send its number")
        })
    }
}

/// Reads what happens to one job for one client, and no faster than that takes it.
struct Reader {
    job: Uuid,
    first: Option<JobEvent>,
    follower: Follower,
    state: Arc<ServerState>,
    greets: bool,
}

impl Reader {
    /// The next frame; none after the end of the job, or when the host stops.
    async fn next(&mut self) -> Option<Frame> {
        if std::mem::take(&mut self.greets) {
            return Some(Frame::default().retry(sse::RETRY));
        }
        if let Some(event) = self.first.take() {
            return Some(frame(self.job, event));
        }
        // The last words come before the end.
        let event = tokio::select! {
            biased;
            event = self.follower.next() => event,
            () = self.state.until_draining() => None,
        };
        event.map(|event| frame(self.job, event))
    }
}

fn frame(job: Uuid, event: JobEvent) -> Frame {
    let JobEvent {
        id,
        time,
        kind,
        facts: mut data,
    } = event;
    data.insert("job".to_owned(), job.to_string().into());
    data.insert("time".to_owned(), timestamp(time).into());
    let frame = Frame::default().id(id.to_string()).event(word(kind));
    frame.data(text(data))
}

/// One line, whatever is in it: line breaks in JSON are escaped.
fn text(data: Map<String, Value>) -> String {
    Value::Object(data).to_string()
}

/// What an event of a job is called.
pub(in crate::http) fn word(kind: JobEventKind) -> &'static str {
    match kind {
        JobEventKind::Started => "started",
        JobEventKind::Progress => "progress",
        JobEventKind::Log => "log",
        JobEventKind::Retrying => "retrying",
        JobEventKind::Ended => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(query: &str) -> Result<Option<Number>, String> {
        let uri = format!("/v1/jobs/x/events{query}").parse().unwrap();
        read(&uri).map_err(|error| error.to_string())
    }

    #[test]
    fn a_client_says_by_number_where_it_goes_on() {
        assert_eq!(after(""), Ok(None));
        assert_eq!(after("?last_event_id=0"), Ok(Some(Number(0))));
        assert_eq!(after("?last_event_id=17"), Ok(Some(Number(17))));
        for text in ["", "-1", "1.5", "ab-3", "99999999999999999999"] {
            let expected = format!("`{text}` is no id of an event of a job: send its number");
            assert_eq!(after(&format!("?last_event_id={text}")), Err(expected));
        }
        let unknown = "unknown query parameter `after`, there are only last_event_id";
        assert_eq!(after("?after=1"), Err(unknown.to_owned()));
    }

    #[test]
    fn the_words_are_those_of_the_service() {
        use JobEventKind::{Ended, Log, Progress, Retrying, Started};
        for kind in [Started, Progress, Log, Retrying, Ended] {
            assert_eq!(serde_json::to_value(kind).unwrap(), word(kind));
        }
    }
}
