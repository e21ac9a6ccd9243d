//! Tests as data: a request, and in one line what comes of it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{EdgeSettings, Guarded, HttpLimits, ServerState, Services, router};
use crate::access::Access;
use crate::budget::Budget;
use crate::call::{Attachment, Call, Entered, Lane, Outcome, Permit, RawOutput};
use crate::config::{self, Config, Overrides, PluginConfig, Sources};
use crate::events::EventLog;
use crate::jobs::{MemoryStore, Retention};
use crate::names::{Accepts, Digest, PluginName};
use crate::registry::{
    Declaration, Lifecycle, OpenPlugin, Plugin, PluginRegistry, RefusedStatus, Serving,
};
use crate::runner::{Pass, ToolRunner};
use crate::services::rollout::Rollouts;
use crate::services::{AnalysisService, JobManagementService, PluginManagementService};
use crate::trace::Tracer;
use crate::validation::{InputLimits, OptionsSchema, OutputRules, SchemaCheck};
use arc_swap::ArcSwap;

mod access;
mod bodies;
mod budget;
mod deadlines;
mod edges;
mod events;
mod jobs;
mod json;
mod lanes;
mod openapi;
mod places;
mod resources;
mod server;

const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0;";
const GIF_BASE64: &str = "R0lGODlhAQABAAAAADs=";
const MAX_BODY: usize = 1 << 20;
/// Enough for one of the largest bodies, text and image.
const BUDGET: u64 = 2 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A plugin's code, for a test.
struct Double(fn(&Call) -> Outcome);

impl Lane for Double {
    fn enter_unguarded(&self, call: Arc<Call>, _: Permit, _: Pass) -> Entered {
        Entered::Done((self.0)(&call))
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn outlives_deadline(&self) -> bool {
        false
    }
}

/// Tells what it was called with.
fn echo(call: &Call) -> Outcome {
    let options: Value = serde_json::from_str(call.options_json()).unwrap();
    let bytes = call.payload.as_slice().len();
    let told = json!({ "bytes": bytes, "mime_type": call.mime_type, "options": options });
    Ok(RawOutput {
        json: Bytes::from(told.to_string()),
        attachments: Vec::new(),
    })
}

/// Gives the image back, twice.
fn copies(call: &Call) -> Outcome {
    let copy = |name: &str| Attachment {
        name: name.to_owned(),
        mime_type: call.mime_type.clone(),
        data: Bytes::copy_from_slice(call.payload.as_slice()),
    };
    Ok(RawOutput {
        json: Bytes::from_static(b"{ \"as\":\t1.50 }"),
        attachments: vec![copy("a \"b\""), copy("c")],
    })
}

fn plugin(name: &str, code: fn(&Call) -> Outcome) -> Arc<Plugin> {
    plugin_in(name, Arc::new(Double(code)))
}

fn plugin_in(name: &str, lane: Arc<dyn Lane>) -> Arc<Plugin> {
    plugin_with(name, lane, PluginConfig::default())
}

fn plugin_with(name: &str, lane: Arc<dyn Lane>, config: PluginConfig) -> Arc<Plugin> {
    let open = move || std::future::ready(Ok(serving(Arc::clone(&lane)))).boxed();
    Arc::new(Plugin::new(declaration(name), config, Box::new(open)))
}

fn plugin_opened(name: &str, open: OpenPlugin) -> Arc<Plugin> {
    let config = PluginConfig::default();
    Arc::new(Plugin::new(declaration(name), config, open))
}

fn declaration(name: &str) -> Declaration {
    Declaration {
        name: PluginName::parse(name).unwrap(),
        version: semver::Version::new(1, 2, 3),
        description: "a double".to_owned(),
        accepts: Accepts::parse(vec!["image/*".to_owned()]).unwrap(),
        thread_safe: true,
        file: format!("lib{name}.so"),
        digest: Digest::new([7; 32]),
    }
}

fn serving(lane: Arc<dyn Lane>) -> Serving {
    let schema = json!({ "type": "object" });
    Serving {
        lane,
        options: OptionsSchema::compile(&schema).unwrap(),
        output: OutputRules::compile(1 << 20, &schema, SchemaCheck::Never).unwrap(),
        options_schema: schema.clone(),
        output_schema: schema,
    }
}

fn services(required: &[&str]) -> Services {
    services_of(required, [plugin("echo", echo), plugin("copies", copies)])
}

fn services_of(required: &[&str], plugins: impl IntoIterator<Item = Arc<Plugin>>) -> Services {
    let registry = Arc::new(PluginRegistry::default());
    plugins.into_iter().for_each(|it| registry.register(it));
    registry.set_refused(vec![RefusedStatus {
        file: "libbroken.so".to_owned(),
        name: Some(PluginName::parse("broken").unwrap()),
        lifecycle: Lifecycle::Rejected,
        reason: "it is cut off".to_owned(),
    }]);
    let limits = InputLimits { max_pixels: 1000 };
    let runner = ToolRunner::new(Arc::clone(&registry), limits, TaskTracker::new());
    let (events, running) = (Arc::new(EventLog::starting()), running(required));
    let plugins = Arc::new(PluginManagementService::new(
        registry,
        runner,
        Rollouts::none(),
        Arc::clone(&events),
        Arc::clone(&running),
    ));
    let retention = Retention {
        age: Duration::from_secs(3600),
        count: 1000,
        bytes: 1 << 20,
    };
    let store = MemoryStore::new(retention);
    let jobs = Arc::new(JobManagementService::new(
        Arc::clone(&plugins),
        store,
        TaskTracker::new(),
    ));
    Services {
        analysis: Arc::new(AnalysisService::new(Arc::clone(&jobs), running)),
        jobs,
        plugins,
        events,
        state: Arc::new(ServerState::starting()),
        budget: Budget::new(BUDGET),
        edge: Arc::default(),
        access: Arc::new(Access::unguarded()),
        requests: Arc::default(),
        tracer: Tracer::default(),
        settings: EdgeSettings::default(),
    }
}

/// The settings of a host that wants `echo` where nothing is named, and cannot do without `required`.
fn running(required: &[&str]) -> Arc<ArcSwap<Config>> {
    let overrides = Overrides {
        state: Some("nowhere".into()),
        default: Some(PluginName::parse("echo").unwrap()),
        ..Overrides::default()
    };
    let sources = Sources {
        folder: "nowhere".into(),
        overrides,
        ..Sources::default()
    };
    let mut config = config::read(&sources).unwrap();
    for name in required {
        let plugin = PluginConfig {
            required: true,
            ..PluginConfig::default()
        };
        let name = PluginName::parse(name).unwrap();
        config.plugins.named.insert(name, plugin);
    }
    Arc::new(ArcSwap::from_pointee(config))
}

fn limits() -> HttpLimits {
    HttpLimits {
        max_body: MAX_BODY,
        body_timeout: BODY_TIMEOUT,
        streams: 64,
        tls: false,
    }
}

fn app() -> Guarded {
    router(services(&[]), limits())
}

/// An answer that was read whole.
#[derive(Debug)]
struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Seen {
    /// What every answer must be, whatever it says.
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(head.headers["content-type"], "application/json");
        assert!(head.headers.contains_key("x-request-id"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        // Nobody has shown a token: only a job's own record, on loopback, has what helps an operator.
        let is_record = body.get("status").is_some();
        assert!(is_record || body.get("_internal").is_none(), "{body}");
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    fn line(&self) -> String {
        let (status, error) = (self.status.as_u16(), &self.body["error"]);
        match (error["details"]["code"].as_str(), error["message"].as_str()) {
            (Some(code), Some(message)) => format!("{status} {code}: {message}"),
            _ => format!("{status} {}", self.body),
        }
    }
}

async fn ask(app: Guarded, request: Request<Body>) -> Seen {
    Seen::of(app.oneshot(request).await.unwrap()).await
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

/// `content_type` may be empty: then there is none.
fn post(query: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/v1/analyze{query}"));
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    request.body(body.into()).unwrap()
}

/// The answer to `request` begins with `expected`.
async fn check(request: Request<Body>, expected: &str) -> Seen {
    let asked = format!(
        "{} {} {:?}",
        request.method(),
        request.uri(),
        request.headers()
    );
    let seen = ask(app(), request).await;
    let line = seen.line();
    assert!(line.starts_with(expected), "{line}\n{expected}\n{asked}");
    seen
}
