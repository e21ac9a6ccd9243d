//! What surrounds every request: its id, its line in the log, and an envelope for what has none yet:
//! a panic of ours, and the errors that the libraries answer with.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::{debug, error};

use super::Services;
use super::answer::{Failure, Fault};
use super::request_id::{self, RequestId, trace_parent};
use super::requests::{self, RequestStats};
use super::route::Noted;
use crate::error::CallError;
use crate::trace::{Facts, OpenSpan, SpanKind, Tracer};

/// The most that is read of what a library says.
const MAX_WORDS: usize = 4096;

/// What was asked for.
struct Asked {
    method: Method,
    path: String,
    received: Option<u64>,
}

/// What is kept of every request.
pub(super) struct Watch {
    requests: Arc<RequestStats>,
    tracer: Tracer,
}

impl Watch {
    pub(super) fn of(services: &Services) -> Self {
        Self {
            requests: Arc::clone(&services.requests),
            tracer: services.tracer.clone(),
        }
    }
}

/// Has `next` answer a request, whatever it does.
pub(super) async fn surround<F>(
    watch: &Watch,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let began = Instant::now();
    let trace = watch.tracer.begin(trace_parent(request.headers()));
    let span = trace.as_ref().map(|trace| trace.open(SpanKind::Server));
    let within = span.as_ref().map(OpenSpan::within);
    let id = RequestId::of(request.headers()).traced(within);
    let asked = Asked {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        received: request.body().size_hint().exact(),
    };
    let noted = Noted::default();
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(noted.clone());
    let answered = AssertUnwindSafe(async { next(request).await })
        .catch_unwind()
        .await;
    let answer = answered.unwrap_or_else(|payload| panicked(&*payload));
    let mut answer = enveloped(answer, &asked).await;
    tell_fault(&mut answer, &id);
    answer.headers_mut().insert(request_id::HEADER, id.header());
    let told = Told {
        status: answer.status().as_u16(),
        bytes: answer.body().size_hint().exact(),
        took: began.elapsed(),
    };
    tell(watch, &asked, &id, noted.route(), told);
    if let Some(span) = span {
        end(&span, &asked, &id, noted.route(), told.status);
    }
    answer
}

/// What it was answered with.
#[derive(Clone, Copy)]
struct Told {
    status: u16,
    bytes: Option<u64>,
    took: Duration,
}

/// Counts a request, and writes its line.
fn tell(watch: &Watch, asked: &Asked, id: &RequestId, route: Option<&str>, told: Told) {
    let Told {
        status,
        bytes,
        took,
    } = told;
    let counted = requests::Asked {
        route: route.unwrap_or(requests::UNMATCHED).into(),
        method: requests::method(asked.method.as_str()),
        status,
    };
    let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    watch.requests.record(counted, nanoseconds);
    let (method, path, received) = (&asked.method, asked.path.as_str(), asked.received);
    let (request, trace) = (id.text(), id.trace().map(|trace| &**trace.text()));
    let duration_ms = (took.as_nanos() as f64 / 1e3).round() / 1e3;
    debug!(%method, path, route, status, %request, trace, received, bytes, duration_ms, "request answered");
}

/// Ends the span of a request, as its conventions name what there is to know.
fn end(span: &OpenSpan, asked: &Asked, id: &RequestId, route: Option<&str>, status: u16) {
    let method = requests::method(asked.method.as_str());
    let facts = Facts::default()
        .with("http.request.method", method)
        .with("http.response.status_code", status)
        .with("http.route", route.unwrap_or_default())
        .with("url.path", &asked.path)
        .with("bulkhead.request", id.text());
    let error = (status >= 500).then(|| status.to_string());
    let name = route.map_or(method.to_owned(), |route| format!("{method} {route}"));
    span.end(&name, facts.error(error.as_deref()));
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
        let trace = id.trace().map(|trace| &**trace.text());
        error!(request = %id.text(), trace, traceback, "a request met a fault of the host's own");
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
