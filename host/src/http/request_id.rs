//! The id of a request: the client's own where it is fit to be logged, else a new one.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::trace::{Trace, TraceParent};

/// The header that carries it, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The header with the trace that a request is a part of.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a request says of its trace. One that says two things says nothing.
pub(super) fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut said = headers.get_all(TRACE_PARENT).iter();
    let (said, more) = (said.next()?, said.next());
    TraceParent::parse(said.to_str().ok().filter(|_| more.is_none())?)
}

/// The longest id that is taken over from a client.
const MAX: usize = 128;

/// What names a request in every log line and in its answer, and the trace that it is a part of.
#[derive(Clone, Debug)]
pub(super) struct RequestId {
    text: Arc<str>,
    trace: Option<Trace>,
}

impl RequestId {
    /// The id of the request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match given.filter(|text| is_fit(text)) {
            Some(text) => Self::new(text),
            None => Self::new(&Uuid::now_v7().to_string()),
        }
    }

    fn new(text: &str) -> Self {
        let text = text.into();
        Self { text, trace: None }
    }

    /// The same, for a request of which this trace is to tell.
    pub(super) fn traced(mut self, trace: Option<Trace>) -> Self {
        self.trace = trace;
        self
    }

    /// The trace, if there is one.
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// The id as text.
    pub(super) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The id as an answer carries it.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.text).expect("printable ASCII")
    }
}

fn is_fit(text: &str) -> bool {
    (1..=MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
