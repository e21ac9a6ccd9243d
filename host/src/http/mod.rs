//! The HTTP face of the host, and the only module that knows status codes. Knows the services, and
//! nothing that stands behind them.

pub mod access;
mod analyze;
mod answer;
mod compress;
mod dashboard;
mod docs;
mod edge;
mod events;
mod guarded;
mod headers;
mod health;
mod held;
mod host;
mod jobs;
mod metrics;
mod openapi;
mod origin;
mod plugins;
mod query;
mod request_id;
mod requests;
mod route;
mod server;
mod sse;
mod stats;
mod status;
mod tokens;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post};
use tokio::sync::Semaphore;
use tower::layer::layer_fn;

use access::{Needs, Role};
pub use guarded::Guarded;
use guarded::Guards;
pub use health::ServerState;
pub use origin::OwnNames;
pub use requests::RequestStats;
pub use server::{
    CertificateFiles, ListenError, Listeners, Places, Routes, ServerLimits, Shutdown, Tls,
    TlsError, serve,
};
pub use stats::{EdgeCounts, EdgeStats};

use crate::access::Access;
use crate::budget::Budget;
use crate::events::EventLog;
use crate::services::{AnalysisService, JobManagementService, PluginManagementService};
use crate::trace::Tracer;

/// What the routes call.
#[derive(Clone)]
pub struct Services {
    /// Where an analysis begins.
    pub analysis: Arc<AnalysisService>,
    /// Where jobs are looked up.
    pub jobs: Arc<JobManagementService>,
    /// Where plugins are looked at.
    pub plugins: Arc<PluginManagementService>,
    /// What has happened.
    pub events: Arc<EventLog>,
    /// Whether requests are welcome.
    pub state: Arc<ServerState>,
    /// How many bytes of requests are borne.
    pub budget: Budget,
    /// What the edge counts.
    pub edge: Arc<EdgeStats>,
    /// Who may call.
    pub access: Arc<Access>,
    /// What requests were answered with.
    pub requests: Arc<RequestStats>,
    /// Where the traces of requests begin.
    pub tracer: Tracer,
    /// What the operator has told the edge.
    pub settings: EdgeSettings,
}

/// What a request may be.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// The most bytes of a body.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The most streams of events at a time: each holds its connection for as long as its client likes.
    pub streams: usize,
    /// Whether TLS is spoken.
    pub tls: bool,
}

/// What the operator tells the edge.
#[derive(Clone, Default)]
pub struct EdgeSettings {
    /// The names that requests may call this host by.
    pub names: OwnNames,
    /// Whether answers are compressed for clients that ask for it.
    pub compression: bool,
}

/// All that handlers share: one count for each request to raise, and not one for each service.
#[derive(Clone)]
struct Api(Arc<Shared>);

struct Shared {
    services: Services,
    limits: HttpLimits,
    streams: Arc<Semaphore>,
    openapi: openapi::Kept,
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Every route there is, and what stands round them.
pub fn router(services: Services, limits: HttpLimits) -> Guarded {
    let routes = Router::new()
        .route("/v1/analyze", post(analyze::analyze))
        .route("/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/v1/jobs/batch", post(jobs::submit_batch))
        .route("/v1/jobs/{id}", get(jobs::look_up).delete(jobs::cancel))
        .route("/v1/jobs/{id}/retry", post(jobs::retry))
        .route("/v1/jobs/{id}/events", get(jobs::follow))
        .route("/v1/jobs/{id}/result", get(jobs::result))
        .route("/v1/jobs/{id}/attachments/{name}", get(jobs::attachment))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/{name}", get(plugins::look_up))
        .route("/v1/plugins/{name}/enable", post(plugins::enable))
        .route("/v1/plugins/{name}/disable", post(plugins::disable))
        .route("/v1/plugins/{name}/reload", post(plugins::reload))
        .route("/v1/plugins/{name}/rollback", post(plugins::rollback))
        .route("/v1/plugins/{name}/history", get(plugins::history))
        .route("/v1/events", get(events::follow))
        .route("/v1/access", get(access::myself))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
        .route("/v1/host", get(host::look_up))
        .route("/", get(dashboard::page))
        .route("/assets/{name}", get(dashboard::asset))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file));
    let guards = Guards::of(&services, limits);
    let routes = routes.route_layer(layer_fn(route::Entered::new));
    let api = Api(Arc::new(Shared {
        services,
        limits,
        streams: Arc::new(Semaphore::new(limits.streams)),
        openapi: openapi::Kept::default(),
    }));
    guards.round(routes.with_state(api))
}

/// The role that each route needs, whatever the verb. A route without a row is for nobody.
const ROLES: &[(&str, Needs)] = &[
    ("/v1/analyze", ANALYZE),
    ("/v1/jobs", ANALYZE),
    ("/v1/jobs/batch", ANALYZE),
    ("/v1/jobs/{id}", ANALYZE),
    ("/v1/jobs/{id}/retry", ANALYZE),
    ("/v1/jobs/{id}/events", ANALYZE),
    ("/v1/jobs/{id}/result", ANALYZE),
    ("/v1/jobs/{id}/attachments/{name}", ANALYZE),
    ("/v1/plugins", ANALYZE),
    ("/v1/plugins/{name}", ANALYZE),
    ("/v1/plugins/{name}/enable", OPERATE),
    ("/v1/plugins/{name}/disable", OPERATE),
    ("/v1/plugins/{name}/reload", OPERATE),
    ("/v1/plugins/{name}/rollback", OPERATE),
    ("/v1/plugins/{name}/history", ANALYZE),
    ("/v1/events", OPERATE),
    ("/v1/host", ANALYZE),
    ("/", Needs::Nothing),
    ("/assets/{name}", Needs::Nothing),
    ("/v1/access", ANALYZE),
    ("/v1/tokens", ADMIN),
    ("/v1/tokens/{id}", ADMIN),
    ("/healthz", Needs::Nothing),
    ("/readyz", Needs::Nothing),
    ("/metrics", OPERATE),
    ("/openapi.json", Needs::Nothing),
    ("/docs", Needs::Nothing),
    ("/docs/{file}", Needs::Nothing),
];

const ANALYZE: Needs = Needs::Role(Role::Analyze);
const OPERATE: Needs = Needs::Role(Role::Operate);
const ADMIN: Needs = Needs::Role(Role::Admin);

#[cfg(test)]
mod tests;
