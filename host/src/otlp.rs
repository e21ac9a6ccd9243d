//! Sends spans to a collector by OTLP over HTTP. They are sent in batches by a thread of the library's; what a collector
//! does not take in time is dropped, and said once.

use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use tracing::{info, warn};
use ureq::Agent;

use crate::trace::{FLUSHED_WITHIN, Sink, Span, SpanKind as Kind};

/// How long a collector may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How long spans wait for others to be sent with.
const SENT_EVERY: Duration = Duration::from_secs(1);
/// The most of an answer that is read.
const MAX_HEARD: u64 = 64 << 10;

/// Sends spans to one collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporter {
    /// For the collector at this address, such as `http://127.0.0.1:4318`.
    pub(crate) fn open(collector: &str) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_endpoint(format!("{collector}/v1/traces"))
            .with_timeout(ANSWERS_WITHIN)
            .build()
            .map_err(|error| format!("`telemetry.otlp`: {error}"))?;
        let batches = BatchConfigBuilder::default().with_scheduled_delay(SENT_EVERY);
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder_empty().with_service_name("bulkhead");
        processor.set_resource(&resource.with_attribute(version).build());
        let scope = InstrumentationScope::builder("bulkhead")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Self { processor, scope })
    }

    /// Sends what is there, for as long as that may take. Blocks.
    pub(crate) fn close(&self) {
        // What is not sent by then is lost, and the log has said why.
        let _ = self.processor.shutdown_with_timeout(FLUSHED_WITHIN);
    }
}

impl Sink for Exporter {
    fn take(&self, span: Span) {
        self.processor.on_end(data(span, &self.scope));
    }
}

fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let context = SpanContext::new(
        TraceId::from_bytes(span.trace.to_be_bytes()),
        SpanId::from_bytes(span.id.to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    let facts = span.facts.into_iter();
    let attributes = facts.map(|(name, value)| match value.parse::<i64>() {
        Ok(number) if name.ends_with("_code") => KeyValue::new(name, number),
        _ => KeyValue::new(name, value),
    });
    SpanData {
        span_context: context,
        parent_span_id: SpanId::from_bytes(span.parent.to_be_bytes()),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Internal => SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: span.began,
        end_time: span.ended,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}

/// Posts one batch, on the thread that it is called on: that is the library's own.
#[derive(Debug)]
struct Client {
    agent: Agent,
    is_failing: AtomicBool,
}

impl Client {
    fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWERS_WITHIN))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        Self {
            agent: config.into(),
            is_failing: AtomicBool::new(false),
        }
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut posted = self.agent.post(head.uri);
        for (name, value) in &head.headers {
            posted = posted.header(name, value);
        }
        let mut answer = posted.send(&body[..])?;
        let said = answer.body_mut().with_config().limit(MAX_HEARD);
        let said = Bytes::from(said.read_to_vec()?);
        Ok(Response::builder().status(answer.status()).body(said)?)
    }

    /// One line when it begins to fail, and one when it is over.
    fn tell(&self, trouble: Option<String>) {
        let was_failing = self.is_failing.swap(trouble.is_some(), Ordering::Relaxed);
        match (trouble, was_failing) {
            (Some(error), false) => {
                warn!(
                    error,
                    "the collector takes no traces: they are dropped until it does"
                );
            }
            (None, true) => info!("the collector takes traces again"),
            _ => {}
        }
    }
}

type Sent = Result<Response<Bytes>, HttpError>;

// As `async_trait` would write it.
impl HttpClient for Client {
    fn send_bytes<'client, 'sent>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Sent> + Send + 'sent>>
    where
        'client: 'sent,
        Self: 'sent,
    {
        let sent = self.post(request);
        self.tell(match &sent {
            Err(error) => Some(error.to_string()),
            Ok(answer) if !answer.status().is_success() => {
                Some(format!("it answered {}", answer.status().as_u16()))
            }
            Ok(_) => None,
        });
        Box::pin(ready(sent))
    }
}
