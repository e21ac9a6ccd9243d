//! `GET /v1/jobs/{id}`: a job as it stands, or, for who has the time, as it ends.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::super::Api;
use super::super::access::Caller;
use super::super::analyze::fields;
use super::super::answer::Failure;
use super::super::query::{self, KIND};
use super::record::View;
use super::terms::refused;
use crate::error::CallError;
use crate::jobs::Record;

const PARAMETERS: [&str; 1] = ["wait"];
/// The longest that an answer waits for the end of a job.
pub(in crate::http) const MAX_WAIT: Duration = Duration::from_secs(60);

/// `GET /v1/jobs/{id}`
pub(in crate::http) async fn look_up(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let record = match read(&uri)? {
        None | Some(Duration::ZERO) => api.services.jobs.look_up(&id, caller.sees()).await?,
        Some(up_to) => waited_for(&api, &id, &caller, up_to).await?,
    };
    Ok(Json(View::now(&api, &caller).whole(&record)?).into_response())
}

/// A host that stops lets nobody wait: the job may well end on its next start only.
async fn waited_for(
    api: &Api,
    id: &str,
    caller: &Caller,
    up_to: Duration,
) -> Result<Record, CallError> {
    let (jobs, owner) = (&api.services.jobs, caller.sees());
    tokio::select! {
        biased;
        ended = jobs.wait_job(id, owner, up_to) => ended,
        () = api.services.state.until_draining() => jobs.look_up(id, owner).await,
    }
}

fn read(uri: &Uri) -> Result<Option<Duration>, CallError> {
    let mut wait = None;
    for (name, value) in query::pairs(uri)? {
        let put = match &*name {
            "wait" => fields::put(&mut wait, seconds(&value)?, KIND, &name),
            other => Err(fields::unknown(KIND, other, &PARAMETERS)),
        };
        put.map_err(CallError::malformed)?;
    }
    Ok(wait)
}

fn seconds(text: &str) -> Result<Duration, CallError> {
    // Rust reads much else as a number too.
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
    let number = is_plain.then(|| text.parse().ok()).flatten();
    let wait = number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    wait.filter(|wait| *wait <= MAX_WAIT).ok_or_else(|| {
        let most = MAX_WAIT.as_secs();
        let wanted = format!("send seconds from 0 to {most}, with fractions if you like");
        refused(&format!("{KIND} `wait`"), text, wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(query: &str) -> Result<Option<Duration>, String> {
        let uri = format!("/v1/jobs/x{query}").parse().unwrap();
        read(&uri).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wait_is_of_seconds_up_to_a_minute() {
        assert_eq!(wait(""), Ok(None));
        for (text, milliseconds) in [
            ("0", 0),
            ("0.0", 0),
            ("5", 5000),
            ("2.25", 2250),
            (".5", 500),
            ("60", 60_000),
        ] {
            let expected = Ok(Some(Duration::from_millis(milliseconds)));
            assert_eq!(wait(&format!("?wait={text}")), expected, "{text}");
        }
        for text in [
            "", "-1", "+1", "60.001", "61", "1e1", "nan", "inf", "1.2.3", ".", "5s",
        ] {
            // A plus in a query is a space.
            let found = text.replace('+', " ");
            let expected = format!(
                "query parameter `wait` is `{found}`: send seconds from 0 to 60, with fractions if you like"
            );
            assert_eq!(wait(&format!("?wait={text}")), Err(expected));
        }
    }

    #[test]
    fn a_query_has_a_wait_and_no_more() {
        let twice = Err("duplicate query parameter `wait`".to_owned());
        assert_eq!(wait("?wait=1&wait=1"), twice);
        let unknown = "unknown query parameter `wiat`, did you mean `wait`?";
        assert_eq!(wait("?wiat=1"), Err(unknown.to_owned()));
    }
}
