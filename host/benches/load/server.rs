//! Who is asked: a bare handler, and hosts. Each in a runtime of its own, as programs have them.

use std::fs;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use bulkhead::app::App;
use bulkhead::config::{Overrides, Sources, read};
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::fixture::fixture;

/// The plugin that is called.
pub(crate) const PLUGIN: &str = "tiny";
/// The most connections; every host has as many places, so that nobody is refused.
pub(crate) const CONNECTIONS: usize = 64;

/// Somebody who listens, until this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
    _scratch: Option<TempDir>,
}

/// What the bare handler answers: byte for byte what a host does.
#[derive(Serialize)]
struct Answer {
    result: Looked,
    plugin: &'static str,
}

#[derive(Serialize)]
struct Looked {
    bytes: usize,
    value: u8,
}

async fn look(body: Bytes) -> impl IntoResponse {
    let result = Looked {
        bytes: body.len(),
        value: body.get(1).copied().unwrap_or_default(),
    };
    let answer = Answer {
        result,
        plugin: PLUGIN,
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, serde_json::to_vec(&answer).unwrap())
}

impl Server {
    /// axum as its users have it, without a limit of bodies.
    pub(crate) fn bare() -> Self {
        let (runtime, listener) = listener();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/analyze", post(look))
            .layer(DefaultBodyLimit::disable());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            name: "bare",
            address,
            _runtime: runtime,
            _scratch: None,
        }
    }

    /// A host whose plugin is treated as these lines of its configuration say.
    pub(crate) fn host(name: &'static str, settings: &str) -> Self {
        let (runtime, listener) = listener();
        let address = listener.local_addr().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let plugins = scratch.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        fs::copy(fixture(PLUGIN), plugins.join("plugin.so")).unwrap();
        let file = scratch.path().join("bulkhead.toml");
        let places = format!("[server]\nmax_in_flight = \"4GiB\"\n[plugin.{PLUGIN}]\nqueue = 1000");
        fs::write(&file, format!("{places}\n{settings}\n")).unwrap();
        let overrides = Overrides {
            plugins: Some(plugins),
            state: Some(scratch.path().join("state")),
            ..Overrides::default()
        };
        let sources = Sources {
            config: Some(file),
            overrides,
            ..Sources::default()
        };
        let _entered = runtime.enter();
        let app = App::build(read(&sources).unwrap()).unwrap();
        runtime.block_on(app.plugins.preload());
        runtime.spawn(async move { app.serve(listener, None, std::future::pending()).await });
        drop(_entered);
        Self {
            name,
            address,
            _runtime: runtime,
            _scratch: Some(scratch),
        }
    }
}

fn listener() -> (Runtime, TcpListener) {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    (runtime, listener)
}
