//! The HTTP face of the host, and the only module that knows status codes. Knows the services, and
//! nothing that stands behind them.

mod analyze;
mod answer;
mod docs;
mod edge;
mod events;
mod health;
mod jobs;
mod linger;
mod openapi;
mod origin;
mod plugins;
mod query;
mod request_id;
mod server;
mod sse;
mod stats;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Router, middleware};

pub use health::ServerState;
pub use server::{ServerLimits, Shutdown, serve};
pub use stats::{EdgeCounts, EdgeStats};

use crate::budget::Budget;
use crate::events::EventLog;
use crate::services::{AnalysisService, JobManagementService, PluginManagementService};

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
}

/// What a request may be.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// The most bytes of a body.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

/// All that handlers share.
#[derive(Clone)]
struct Api {
    services: Services,
    limits: HttpLimits,
    openapi: Arc<openapi::Kept>,
}

/// Every route there is.
pub fn router(services: Services, limits: HttpLimits) -> Router {
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
        .route("/v1/events", get(events::follow))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::openapi))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file));
    let openapi = Arc::default();
    guarded(routes.with_state(Api {
        services,
        limits,
        openapi,
    }))
}

/// What goes round all routes, the outermost last. They stand behind a fallback, because a layer of
/// their own would not see the `Allow` that a wrong verb is answered with.
fn guarded(routes: Router) -> Router {
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(origin::refuse_foreign))
        .layer(middleware::from_fn(edge::surround))
}

#[cfg(test)]
mod tests;
