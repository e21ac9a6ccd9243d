//! Whether the host is alive, and whether it is ready. Their documents are no envelopes: what they
//! tell is no error of the request.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;

use super::Api;
use crate::names::PluginName;
use crate::registry::{Lifecycle, PluginStatus, RefusedStatus};
use crate::services::PluginManagementService;

/// Where the host is in its life, as `app` says. It only goes forward.
#[derive(Debug)]
pub struct ServerState {
    life: watch::Sender<Life>,
    began: Instant,
    began_at: DateTime<Utc>,
}

/// In the order of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Starting,
    Ready,
    Draining,
}

impl ServerState {
    /// A host that is still being built up.
    pub fn starting() -> Self {
        Self {
            life: watch::Sender::new(Life::Starting),
            began: Instant::now(),
            began_at: Utc::now(),
        }
    }

    /// It is built up. Without effect on a host that is stopping already.
    pub fn ready(&self) {
        self.advance(Life::Ready);
    }

    /// It stops.
    pub fn draining(&self) {
        self.advance(Life::Draining);
    }

    /// When it began, and how long ago that is.
    pub(super) fn since(&self) -> (DateTime<Utc>, Duration) {
        (self.began_at, self.began.elapsed())
    }

    /// Until the host stops: for answers that have no end of their own.
    pub(super) async fn until_draining(&self) {
        let mut life = self.life.subscribe();
        // The sender is `self`, so that this ends with the stop only.
        let _ = life.wait_for(|life| *life == Life::Draining).await;
    }

    /// Whether requests are welcome.
    pub(super) fn is_ready(&self, plugins: &PluginManagementService) -> bool {
        self.not_ready(&plugins.missing()).is_none()
    }

    fn advance(&self, to: Life) {
        self.life.send_modify(|life| *life = to.max(*life));
    }

    /// Why requests should go elsewhere, if so.
    fn not_ready(&self, missing: &[PluginName]) -> Option<&'static str> {
        match *self.life.borrow() {
            Life::Starting => Some("starting"),
            Life::Ready if missing.is_empty() => None,
            Life::Ready => Some("not_ready"),
            Life::Draining => Some("draining"),
        }
    }
}

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    degraded: Vec<Degraded>,
}

#[derive(Serialize)]
struct NotReady {
    status: &'static str,
    missing: Vec<PluginName>,
}

/// What is not well.
#[derive(Serialize)]
struct Degraded {
    plugin: Option<PluginName>,
    file: Option<String>,
    lifecycle: Option<Lifecycle>,
    reason: Option<String>,
}

/// `GET /healthz`
pub(super) async fn alive() -> Response {
    Json(Alive { status: "ok" }).into_response()
}

/// `GET /readyz`
pub(super) async fn ready(State(api): State<Api>) -> Response {
    let plugins = &api.services.plugins;
    let missing = plugins.missing();
    match api.services.state.not_ready(&missing) {
        Some(status) => {
            let told = Json(NotReady { status, missing });
            (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
        }
        None => {
            let (status, degraded) = ("ready", degraded(plugins));
            Json(Ready { status, degraded }).into_response()
        }
    }
}

fn degraded(plugins: &PluginManagementService) -> Vec<Degraded> {
    let status = plugins.all_status().into_iter();
    let unwell = status.filter(|it| is_unwell(it.lifecycle) || it.file_invalid.is_some());
    let refused = plugins.refused().into_iter().map(Degraded::from);
    let folder = plugins.folder_problem().map(Degraded::folder);
    let plugins = unwell.map(Degraded::from).chain(refused);
    folder.into_iter().chain(plugins).collect()
}

fn is_unwell(lifecycle: Lifecycle) -> bool {
    match lifecycle {
        Lifecycle::Loading | Lifecycle::Ready | Lifecycle::Draining => false,
        Lifecycle::Disabled | Lifecycle::Quarantined | Lifecycle::Rejected => true,
    }
}

impl Degraded {
    /// The plugins folder as a whole.
    fn folder(problem: String) -> Self {
        Self {
            plugin: None,
            file: None,
            lifecycle: None,
            reason: Some(problem),
        }
    }
}

impl From<PluginStatus> for Degraded {
    fn from(status: PluginStatus) -> Self {
        Self {
            plugin: Some(status.name),
            file: Some(status.file),
            lifecycle: Some(status.lifecycle),
            reason: status.reason.or(status.file_invalid),
        }
    }
}

impl From<RefusedStatus> for Degraded {
    fn from(status: RefusedStatus) -> Self {
        Self {
            plugin: status.name,
            file: Some(status.file),
            lifecycle: Some(status.lifecycle),
            reason: Some(status.reason),
        }
    }
}
