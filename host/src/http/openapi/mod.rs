//! `GET /openapi.json`: what there is to ask for and what comes back, with the schemas of the plugins that are open.
//! Knows every route; a test holds it against the router.

mod operation;
mod parts;
mod paths;
mod plugins;
mod schemas;

use std::sync::{LazyLock, Mutex, PoisonError};

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::{Api, answer};
use crate::names::{Digest, PluginName};
use crate::services::PluginManagementService;

/// What does not depend on the plugins, and never changes.
static BASE: LazyLock<Value> = LazyLock::new(base);

/// The same as text: for who may not know which plugins there are.
static BARE: LazyLock<Bytes> = LazyLock::new(|| BASE.to_string().into());

/// The document as it was last asked for.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Edition>>);

/// The text, and of which builds it tells.
#[derive(Clone)]
struct Edition {
    of: Vec<(PluginName, Digest)>,
    text: Bytes,
}

/// `GET /openapi.json`
pub(super) async fn openapi(State(api): State<Api>, caller: Option<Extension<Caller>>) -> Response {
    match caller {
        Some(_) => answer::json(api.openapi.text(&api.services.plugins)),
        None => answer::json(BARE.clone()),
    }
}

impl Kept {
    /// The text, made anew only where other builds are open than before.
    fn text(&self, plugins: &PluginManagementService) -> Bytes {
        let open = plugins.open_builds();
        let kept = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(kept) = kept.filter(|kept| kept.of == open) {
            return kept.text;
        }
        let statuses = open
            .iter()
            .filter_map(|(name, _)| plugins.status(name.as_str()).ok());
        let described: Vec<_> = statuses.filter_map(plugins::Described::of).collect();
        let text = Bytes::from(document(&described).to_string());
        // A build that came meanwhile would stand under the names of those before.
        if plugins.open_builds() == open {
            let edition = Edition {
                of: open,
                text: text.clone(),
            };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(edition);
        }
        text
    }
}

/// The document of a host with these plugins.
fn document(described: &[plugins::Described]) -> Value {
    let mut document = BASE.clone();
    let components = plugins::components(described);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(components);
    }
    document
}

fn base() -> Value {
    let tags =
        paths::TAGS.map(|(name, description)| json!({ "name": name, "description": description }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bulkhead",
            "summary": "A plugin host that a plugin cannot sink.",
            "description": "Every answer has an `X-Request-Id`; every error is the one envelope, whose `details.code` says exactly what went wrong.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/", "description": "This host." }],
        "security": [{}, { "token": [] }],
        "tags": tags,
        "paths": all_paths(),
        "components": {
            "schemas": schemas::all(),
            "headers": parts::headers(),
            "securitySchemes": parts::security_schemes(),
        },
    })
}

fn all_paths() -> Map<String, Value> {
    let mut all = Map::new();
    for (path, verb, operation) in paths::ALL {
        let path = all.entry(*path).or_insert_with(|| json!({}));
        path[*verb] = operation().into_value();
    }
    all
}
