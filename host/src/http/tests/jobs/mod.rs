//! Jobs over HTTP, against a real store: a host of doubles that keeps what it is sent.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

use super::bodies::FORM;
use super::{GIF, GIF_BASE64, Seen, ask, copies, echo, get, limits, plugin, running, services_of};
use crate::call::{Call, Outcome, RawOutput};
use crate::error::CallError;
use crate::http::Guarded;
use crate::http::{Services, router};
use crate::jobs::SqliteStore;
use crate::services::Keeping;
use crate::trace::Tracer;

mod batch;
mod course;
mod fields;
mod life;
mod results;

/// A moment that no test sees.
const FAR: &str = "2999-12-31T00:00:00Z";

/// A host that keeps jobs, and the folder that it keeps them in.
struct Host {
    app: Guarded,
    services: Services,
    store: Arc<SqliteStore>,
    _state: TempDir,
}

/// Cannot do what it was asked for.
fn fails(_: &Call) -> Outcome {
    Err(CallError::Failed {
        message: "on purpose".to_owned(),
        details: Default::default(),
    })
}

/// Has more to say than fits into a record.
fn verbose(_: &Call) -> Outcome {
    let text = "x".repeat(100 << 10);
    Ok(RawOutput {
        json: json!({ "text": text }).to_string().into(),
        attachments: Vec::new(),
    })
}

impl Host {
    async fn new() -> Self {
        let plugins = [
            plugin("echo", echo),
            plugin("copies", copies),
            plugin("fails", fails),
            plugin("verbose", verbose),
        ];
        let (services, state) = (services_of(&[], plugins), tempfile::tempdir().unwrap());
        let store = Arc::new(SqliteStore::open(state.path()).unwrap());
        let keeping = Keeping {
            tracer: Tracer::default(),
            store: store.clone(),
            payloads: None,
            sweeps: true,
            host: Uuid::now_v7(),
            running: running(&[]),
            events: Arc::clone(&services.events),
        };
        services.jobs.keep(keeping).await.unwrap();
        Self {
            app: router(services.clone(), limits()),
            services,
            store,
            _state: state,
        }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    async fn ask(&self, request: Request<Body>) -> Seen {
        ask(self.app.clone(), request).await
    }

    /// The answer begins with `expected`.
    async fn check(&self, request: Request<Body>, expected: &str) -> Seen {
        let seen = self.ask(request).await;
        let line = seen.line();
        assert!(line.starts_with(expected), "{line}\n{expected}");
        seen
    }

    /// A new job for a raw image, with more in the query.
    async fn submit(&self, query: &str) -> Value {
        let seen = self.ask(post(query, "image/gif", GIF)).await;
        assert_eq!(seen.status, 202, "{}", seen.line());
        seen.body
    }

    /// One that does not run before this test is long over.
    async fn pending(&self) -> Value {
        self.submit(&format!("?plugin=echo&not_before={FAR}")).await
    }

    /// The job once it has ended. The store does not lose it, so that this ends.
    async fn ended(&self, job: &Value) -> Value {
        loop {
            let seen = self.ask(get(&path(job, "?wait=60"))).await;
            assert_eq!(seen.status, 200, "{}", seen.line());
            if !seen.body["finished_at"].is_null() {
                return seen.body;
            }
        }
    }
}

/// Where a job is, and what is below it.
fn path(job: &Value, rest: &str) -> String {
    format!("/v1/jobs/{}{rest}", job["id"].as_str().unwrap())
}

fn with(method: Method, uri: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Body::empty()).unwrap()
}

fn delete(job: &Value) -> Request<Body> {
    with(Method::DELETE, &path(job, ""))
}

fn retry(job: &Value) -> Request<Body> {
    with(Method::POST, &path(job, "/retry"))
}

/// To `/v1/jobs` and what stands behind it.
fn post(rest: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("/v1/jobs{rest}"))
        .header("content-type", content_type)
        .body(body.into())
        .unwrap()
}

fn keyed(mut request: Request<Body>, key: &str) -> Request<Body> {
    let headers = request.headers_mut();
    headers.insert("idempotency-key", key.parse().unwrap());
    request
}
