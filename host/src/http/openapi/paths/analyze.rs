//! The analysis, and the bodies that it shares with jobs.

use serde_json::{Value, json};

use super::super::operation::{Operation, json_of, reference};
use super::super::parts::{in_header, in_query};
use super::super::schemas::or_null;
use crate::error::Code;

pub(super) const TAG: &str = "analyze";

/// What can be wrong with a body, or with what is in it, before the plugin is called.
pub(super) const BODY: [Code; 14] = [
    Code::MalformedRequest,
    Code::EmptyImage,
    Code::MissingMimeType,
    Code::UnsupportedMediaType,
    Code::RequestTimeout,
    Code::PayloadTooLarge,
    Code::UnsupportedMimeType,
    Code::ImageMismatch,
    Code::ImageTooLarge,
    Code::InvalidOptions,
    Code::InvalidInput,
    Code::PluginNotFound,
    Code::PluginUnavailable,
    Code::Overloaded,
];

/// What can come of calling it.
const CALL: [Code; 9] = [
    Code::InvalidOutput,
    Code::Failed,
    Code::Panic,
    Code::Crash,
    Code::Exited,
    Code::OutOfMemory,
    Code::Protocol,
    Code::Timeout,
    Code::Cancelled,
];

/// A GIF of one pixel.
const PIXEL: &str = "R0lGODlhAQABAAAAACwAAAAAAQABAAACADs=";

pub(super) fn analyze() -> Operation {
    let says = "One image goes to one plugin, and its answer comes back. Without `plugin`, the configuration's `default` is called. \
                The query parameters are for a raw image: the other bodies have the same inside.";
    let document = "The plugin's result, and the files that it gave beside it, if any.";
    Operation::new(TAG, "analyze", "Run a plugin now")
        .says(says)
        .takes(deadline())
        .takes(plugin())
        .takes(options())
        .body(
            "The image, in one of three forms.",
            bodies("AnalyzeRequest", json!({})),
        )
        .answers_with(200, document, json_of("Analysis"), &["X-Job-Id"])
        .names_its_job()
        .fails(&BODY)
        .fails(&CALL)
}

/// The three forms, where the object of the first is `object`; forms have these fields besides.
pub(super) fn bodies(object: &str, fields: Value) -> Value {
    let example = json!({ "plugin": "image-info", "image": PIXEL, "mime_type": "image/gif" });
    json!({
        "application/json": { "schema": reference(object), "example": example },
        "multipart/form-data": { "schema": form(json!({ "type": "string", "format": "binary" }), fields) },
        "image/*": { "schema": { "type": "string", "format": "binary", "description": "The image itself." } },
    })
}

/// A form whose field `image` is such.
pub(super) fn form(image: Value, more: Value) -> Value {
    let mut fields = json!({
        "plugin": reference("PluginName"),
        "mime_type": { "type": "string", "description": "Of the image, where its part does not say it." },
        "options": { "type": "string", "description": "The options as JSON text." },
        "image": image,
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    json!({ "type": "object", "properties": fields, "required": ["image"], "additionalProperties": false })
}

/// The object of a JSON body, with these fields besides.
pub(in crate::http::openapi) fn request(more: Value) -> Value {
    let mut fields = json!({
        "plugin": or_null(reference("PluginName")),
        "image": { "type": "string", "contentEncoding": "base64", "minLength": 4, "description": "The image in base64." },
        "mime_type": { "type": "string", "description": "Of the image.", "examples": ["image/png"] },
        "options": or_null(json!({ "type": "object", "description": "What the plugin's options schema says." })),
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    json!({ "type": "object", "properties": fields, "required": ["image", "mime_type"], "additionalProperties": false })
}

pub(super) fn deadline() -> Value {
    let description =
        "How many milliseconds the call may take; the plugin's own deadline counts besides.";
    in_header(
        "X-Deadline-Ms",
        json!({ "type": "integer", "minimum": 1 }),
        description,
    )
}

pub(super) fn plugin() -> Value {
    let description = "With a raw image: which plugin.";
    in_query("plugin", reference("PluginName"), description)
}

pub(super) fn options() -> Value {
    let schema = json!({ "type": "string", "examples": ["{}"] });
    in_query(
        "options",
        schema,
        "With a raw image: the options as JSON text.",
    )
}
