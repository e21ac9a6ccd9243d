//! Errors as answers: the envelope without what is internal, under the status of its code.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::status;
use crate::envelope::{self, Envelope};
use crate::error::{CallError, Code, Traceback};
use crate::services::Refusal;

/// The header with the id of the job that a call was.
const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");

/// An error on its way out.
pub(super) struct Failure {
    envelope: Box<Envelope>,
    job: Option<Uuid>,
    // The rest of the body is not waited for, so that no other request can follow.
    closes: bool,
    // Of the host's own, which nobody has told the log of.
    fault: Option<Traceback>,
}

/// In the extensions of an answer: the whole envelope, for who may see it.
#[derive(Clone)]
pub(super) struct Inside(pub(super) Box<Envelope>);

/// In the extensions of an answer: what the log is to say of it.
#[derive(Clone)]
pub(super) struct Fault(pub(super) Traceback);

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let envelope = Box::new(Envelope::new(&error, None));
        Self {
            envelope,
            job: None,
            closes: leaves_body_unread(&error),
            fault: fault(&error),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal { job, envelope }: Refusal) -> Self {
        Self {
            envelope,
            job,
            closes: false,
            fault: None,
        }
    }
}

impl From<Box<Envelope>> for Failure {
    fn from(envelope: Box<Envelope>) -> Self {
        Self {
            envelope,
            job: None,
            closes: false,
            fault: None,
        }
    }
}

impl Failure {
    /// Its status and its body, for an answer that no route gives.
    pub(super) fn written(&self) -> (StatusCode, Vec<u8>) {
        let error = &self.envelope.error;
        let body = serde_json::to_vec(&Public { error }).expect("text goes into memory");
        (status::of(self.envelope.code()), body)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.envelope.code();
        let error = &self.envelope.error;
        let mut response = (status::of(code), Json(Public { error })).into_response();
        if let Some(job) = self.job {
            name_job(&mut response, job);
        }
        let headers = response.headers_mut();
        if let Some(delay) = self.envelope.retry_after() {
            headers.insert(header::RETRY_AFTER, whole_seconds(delay).into());
        }
        if code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(fault) = self.fault {
            response.extensions_mut().insert(Fault(fault));
        }
        response.extensions_mut().insert(Inside(self.envelope));
        response
    }
}

/// What callers see of an envelope.
#[derive(Serialize)]
struct Public<'a> {
    error: &'a envelope::Body,
}

/// An answer of JSON text that is ready made.
pub(super) fn json(text: impl Into<Body>) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], text.into()).into_response()
}

/// Says in an answer which job it is of.
pub(super) fn name_job(response: &mut Response, job: Uuid) {
    let id = HeaderValue::from_str(&job.to_string()).expect("hex digits and dashes");
    response.headers_mut().insert(JOB_ID, id);
}

/// Never zero: that would invite a client to try again at once.
fn whole_seconds(delay: Duration) -> u64 {
    let begun = u64::from(delay.subsec_nanos() > 0);
    delay.as_secs().saturating_add(begun).max(1)
}

/// What only the log may say of an error: services have told it of theirs already, which come as envelopes.
fn fault(error: &CallError) -> Option<Traceback> {
    match error {
        CallError::Internal { traceback } => Some(traceback.clone()),
        _ => None,
    }
}

/// Whether an error stands for a body that was given up on its way in.
fn leaves_body_unread(error: &CallError) -> bool {
    matches!(
        error,
        CallError::TooLarge { .. } | CallError::SlowRequest { .. } | CallError::OverBudget { .. }
    )
}
