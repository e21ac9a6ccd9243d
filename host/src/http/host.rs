//! What there is to know of the host as a whole.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;

#[derive(Serialize)]
struct Host {
    version: &'static str,
    started_at: String,
    uptime_s: u64,
}

/// `GET /v1/host`
pub(super) async fn look_up(State(api): State<Api>) -> Response {
    let (started_at, uptime) = api.services.state.since();
    let version = env!("CARGO_PKG_VERSION");
    let host = Host {
        version,
        started_at: super::jobs::timestamp(started_at),
        uptime_s: uptime.as_secs(),
    };
    Json(host).into_response()
}
