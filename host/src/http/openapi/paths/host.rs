//! The host as a whole, and its documents.

use serde_json::json;

use super::super::operation::{Operation, json_of, reference};
use super::super::parts::{in_header, in_path, in_query};
use super::jobs::stream;
use crate::error::Code;
use crate::events::Kind;
use crate::http::docs;

pub(super) const TAG: &str = "host";
pub(super) const DOCS: &str = "docs";

pub(super) fn events() -> Operation {
    let says = "Each event has its `id`, its kind as `event`, and an `Event` as `data`. An event `missed`, with `MissedEvents`, \
                says that some were forgotten before they were read. The answer ends when the host stops.";
    let id = || json!({ "type": "string", "pattern": "^(0|[0-9a-f]+-[0-9]+)$", "examples": ["19a8c7d2f10-17", "0"] });
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let kinds =
        json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": kinds } });
    let mut kind = in_query(
        "kind",
        kinds,
        "Only events of these kinds, with commas between.",
    );
    kind["style"] = "form".into();
    kind["explode"] = false.into();
    Operation::new(
        TAG,
        "follow_events",
        "What happens to plugins, jobs and the host",
    )
    .says(says)
    .takes(in_header(
        "Last-Event-ID",
        id(),
        "The last event that was seen; `0` for all that are kept.",
    ))
    .takes(in_query(
        "last_event_id",
        id(),
        "The same, for who cannot send the header; which counts if there are both.",
    ))
    .takes(in_query(
        "plugin",
        reference("PluginName"),
        "Only events of this plugin.",
    ))
    .takes(kind)
    .answers_with(
        200,
        "Server-sent events.",
        stream("Event"),
        &["Cache-Control"],
    )
    .fails(&[Code::MalformedRequest])
}

pub(super) fn alive() -> Operation {
    Operation::new(TAG, "healthz", "Whether the host is alive")
        .answers(200, "It is.", json_of("Alive"))
        .open_to_all()
}

pub(super) fn ready() -> Operation {
    Operation::new(TAG, "readyz", "Whether the host is ready")
        .says("Plugins and files that are not well do not make it unready, but for plugins that are `required`.")
        .answers(200, "It is; what is not well is named.", json_of("Ready"))
        .answers(503, "It is not: it starts, it stops, or a required plugin is not ready.", json_of("NotReady"))
        .open_to_all()
}

pub(super) fn look_up() -> Operation {
    Operation::new(
        TAG,
        "host",
        "Which version the host is of, and how long it is up",
    )
    .answers(200, "That.", json_of("Host"))
}

pub(super) fn metrics() -> Operation {
    let text = json!({ "schema": { "type": "string" } });
    let content = json!({ "application/openmetrics-text": text, "text/plain": text });
    Operation::new(TAG, "metrics", "Numbers for Prometheus").answers(
        200,
        "OpenMetrics, or Prometheus's own form for who asks for that.",
        content,
    )
}

pub(super) fn page() -> Operation {
    let content = json!({ "text/html": { "schema": { "type": "string" } } });
    Operation::new(DOCS, "dashboard", "The dashboard")
        .takes(has_it())
        .answers(200, "A page that needs nothing from elsewhere.", content)
        .answers(304, "It is as it was.", serde_json::Value::Null)
        .open_to_all()
}

pub(super) fn asset() -> Operation {
    let text = json!({ "schema": { "type": "string" } });
    let content = json!({ "text/javascript": text, "text/css": text, "image/svg+xml": text });
    let name = json!({ "type": "string" });
    Operation::new(DOCS, "dashboard_asset", "What the dashboard is made of")
        .takes(in_path("name", name, "Its name."))
        .takes(has_it())
        .answers(200, "The file.", content)
        .answers(304, "It is as it was.", serde_json::Value::Null)
        .fails(&[Code::MalformedRequest, Code::NotFound])
        .open_to_all()
}

fn has_it() -> serde_json::Value {
    let tags = json!({ "type": "string" });
    in_header("If-None-Match", tags, "What the browser has.")
}

pub(super) fn openapi() -> Operation {
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    Operation::new(
        DOCS,
        "openapi",
        "This document, with the schemas of the plugins that are open",
    )
    .says("Who needs a token and shows none gets it without the plugins.")
    .answers(200, "OpenAPI 3.1.", content)
    .open_to_all()
}

pub(super) fn docs() -> Operation {
    let content = json!({ "text/html": { "schema": { "type": "string" } } });
    Operation::new(DOCS, "docs", "This document as a page")
        .answers(200, "A page that needs nothing from elsewhere.", content)
        .open_to_all()
}

pub(super) fn docs_file() -> Operation {
    let names = json!({ "type": "string", "enum": docs::FILES });
    let text = json!({ "schema": { "type": "string" } });
    let content =
        json!({ "text/javascript": text, "text/css": text, "image/png": { "schema": {} } });
    Operation::new(DOCS, "docs_file", "What the page is made of")
        .takes(in_path("file", names, "Its name."))
        .answers(200, "The file.", content)
        .fails(&[Code::MalformedRequest, Code::NotFound])
        .open_to_all()
}
