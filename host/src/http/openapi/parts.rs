//! What many operations share: parameters, headers, and how a client shows who it is.

use serde_json::{Value, json};

/// A parameter of the path, which must be there.
pub(super) fn in_path(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

/// A query parameter that may be there.
pub(super) fn in_query(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

/// A header that may be there.
pub(super) fn in_header(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "header", "description": description, "schema": schema })
}

/// The headers of answers.
pub(super) fn headers() -> Value {
    let text = || json!({ "type": "string" });
    json!({
        "X-Request-Id": {
            "description": "The id of the request, in every log line of it: the client's own where it sent one that is fit to be logged, else a new one.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        },
        "X-Job-Id": {
            "description": "The id of the job that the call was: it can be looked up under `/v1/jobs/{id}` until its retention ends. Not there where no job came of it.",
            "schema": { "type": "string", "format": "uuid" },
        },
        "Retry-After": {
            "description": "After how many seconds it is worth trying again, where that is known.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "Location": { "description": "The path of the job.", "required": true, "schema": text() },
        "Content-Disposition": { "description": "The attachment's name, for whoever saves it.", "required": true, "schema": text() },
        "Cache-Control": { "description": "Always `no-store`.", "required": true, "schema": text() },
    })
}

/// How a client shows who it is.
pub(super) fn security_schemes() -> Value {
    let description = "A token made by `bulkhead token create`. On loopback none is needed unless the configuration says so.";
    json!({ "token": { "type": "http", "scheme": "bearer", "description": description } })
}
