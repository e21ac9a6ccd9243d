//! What surrounds every request: its id, its line in the log, and an envelope for what has none yet:
//! a panic of ours, and the errors that the libraries answer with.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::{debug, error};

use super::answer::{Failure, Fault};
use super::request_id::{self, RequestId};
use crate::error::CallError;

/// The most that is read of what a library says.
const MAX_WORDS: usize = 4096;

/// What was asked for.
struct Asked {
    method: Method,
    path: String,
}

/// The outermost layer.
pub(super) async fn surround(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let asked = Asked {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
    };
    request.extensions_mut().insert(id.clone());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let answer = answered.unwrap_or_else(|payload| panicked(&*payload));
    let mut answer = enveloped(answer, &asked).await;
    tell_fault(&mut answer, &id);
    answer.headers_mut().insert(request_id::HEADER, id.header());
    let (status, request) = (answer.status().as_u16(), id.text());
    let Asked { method, path } = asked;
    debug!(%method, path, status, %request, elapsed = ?began.elapsed(), "request answered");
    answer
}

/// A panic here is the host's own: those of plugins end at their guard.
fn panicked(payload: &(dyn Any + Send)) -> Response {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let traceback = format!("panic: {}", text.unwrap_or("without text"));
    Failure::from(CallError::internal(traceback)).into_response()
}

/// The answer says that the log has it.
fn tell_fault(answer: &mut Response, id: &RequestId) {
    if let Some(Fault(traceback)) = answer.extensions_mut().remove() {
        let traceback = traceback.as_str();
        error!(request = %id.text(), traceback, "a request met a fault of the host's own");
    }
}

/// Every answer of ours is JSON; an error that is not was made by a library.
async fn enveloped(answer: Response, asked: &Asked) -> Response {
    let status = answer.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || is_json(answer.headers()) {
        return answer;
    }
    let (head, body) = answer.into_parts();
    let words = to_bytes(body, MAX_WORDS).await.unwrap_or_default();
    let allowed = head.headers.get(header::ALLOW);
    let failure = explain(status, asked, allowed, &String::from_utf8_lossy(&words));
    let mut answer = Failure::from(failure).into_response();
    if let Some(allowed) = allowed {
        answer.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    answer
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|found| found == "application/json")
}

fn explain(
    status: StatusCode,
    asked: &Asked,
    allowed: Option<&HeaderValue>,
    words: &str,
) -> CallError {
    let allowed = || allowed.and_then(|value| value.to_str().ok()).unwrap_or("");
    match status {
        StatusCode::NOT_FOUND => CallError::UnknownRoute {
            path: asked.path.clone(),
        },
        StatusCode::METHOD_NOT_ALLOWED => CallError::WrongMethod {
            method: asked.method.to_string(),
            allowed: allowed().to_owned(),
        },
        status if status.is_client_error() => CallError::malformed(words),
        status => CallError::Internal {
            traceback: format!("a library answered {status}: {words}").into(),
        },
    }
}
