//! The plugins as they stand.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use super::answer::Failure;
use crate::registry::{PluginStatus, RefusedStatus};
use crate::services::{RATE_INTERVAL, RatePoint};

/// A list in the contract's form.
#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item {
    Plugin(Box<PluginStatus>),
    Refused(RefusedStatus),
}

/// A plugin's rates, the newest point last.
#[derive(Serialize)]
struct History {
    interval_s: u64,
    points: Vec<RatePoint>,
}

/// `GET /v1/plugins`
pub(super) async fn list(State(api): State<Api>) -> Response {
    let plugins = &api.services.plugins;
    let served = plugins.all_status().into_iter();
    let refused = plugins.refused().into_iter().map(Item::Refused);
    let items = served.map(|plugin| Item::Plugin(Box::new(plugin)));
    let items = items.chain(refused).collect();
    let next_cursor = None;
    Json(Page { items, next_cursor }).into_response()
}

/// `POST /v1/plugins/{name}/enable`
pub(super) async fn enable(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let status = api.services.plugins.enable_plugin(&name).await?;
    Ok(Json(status).into_response())
}

/// `POST /v1/plugins/{name}/disable`
pub(super) async fn disable(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let status = api.services.plugins.disable_plugin(&name)?;
    Ok(Json(status).into_response())
}

/// `POST /v1/plugins/{name}/reload`
pub(super) async fn reload(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let status = api.services.plugins.reload_plugin(&name).await?;
    Ok(Json(status).into_response())
}

/// `POST /v1/plugins/{name}/rollback`
pub(super) async fn rollback(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let status = api.services.plugins.rollback_plugin(&name).await?;
    Ok(Json(status).into_response())
}

/// `GET /v1/plugins/{name}`
///
/// The name needs no check: what is no name is not in the registry, and that is all it is used for.
pub(super) async fn look_up(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let status = api.services.plugins.open(&name).await?;
    Ok(Json(status).into_response())
}

/// `GET /v1/plugins/{name}/history`
pub(super) async fn history(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let points = api.services.plugins.rates(&name)?;
    let interval_s = RATE_INTERVAL.as_secs();
    Ok(Json(History { interval_s, points }).into_response())
}
