//! The shapes of what is sent, by hand: much of it borrows, is flattened, or comes from modules that know nothing of
//! HTTP. Tests hold each against real answers. Closed lists come from the code.

use serde_json::{Map, Value, json};

use super::super::jobs::KINDS as JOB_KINDS;
use super::operation::reference;
use crate::error::{Code, ErrorType};
use crate::events::Kind;
use crate::jobs::{Priority, Status};
use crate::registry::Lifecycle;
use crate::services::JobEventKind;

const LIFECYCLES: [Lifecycle; 6] = [
    Lifecycle::Loading,
    Lifecycle::Ready,
    Lifecycle::Draining,
    Lifecycle::Disabled,
    Lifecycle::Quarantined,
    Lifecycle::Rejected,
];

/// All that do not depend on the plugins.
pub(super) fn all() -> Map<String, Value> {
    let groups = [
        errors(),
        plugins(),
        jobs(),
        events(),
        health(),
        host(),
        super::paths::access_schemas(),
    ];
    let groups = groups.into_iter().filter_map(|group| match group {
        Value::Object(group) => Some(group),
        _ => None,
    });
    groups.flatten().collect()
}

/// An object of these fields and no others. A name that ends in `?` may be absent.
pub(super) fn object(description: &str, fields: Value) -> Value {
    let Value::Object(fields) = fields else {
        return Value::Bool(true);
    };
    let name = |name: &String| name.trim_end_matches('?').to_owned();
    let required: Vec<_> = fields.keys().filter(|it| !it.ends_with('?')).collect();
    let required = json!(required);
    let fields: Map<_, _> = fields
        .iter()
        .map(|(key, it)| (name(key), it.clone()))
        .collect();
    json!({
        "type": "object",
        "description": description,
        "properties": fields,
        "required": required,
        "additionalProperties": false,
    })
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

pub(super) fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

/// The same, or null.
pub(super) fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn milliseconds() -> Value {
    json!({ "type": "number", "minimum": 0 })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn page(description: &str, of: Value, next: Value) -> Value {
    object(
        description,
        json!({ "items": list(of), "next_cursor": next }),
    )
}

/// A plugin's own schema, or its own facts: nobody but the plugin can say what is in it.
fn any_object(description: &str) -> Value {
    json!({ "type": "object", "description": description })
}

fn errors() -> Value {
    let codes = words(Code::ALL.iter().map(|code| code.as_str()));
    json!({
        "Error": {
            "type": "object",
            "description": "The one form of every error.",
            "properties": {
                "error": reference("ErrorBody"),
                "_internal": any_object("For tokens of the `operate` role only: backtrace or chain of causes."),
            },
            "required": ["error"],
            "additionalProperties": false,
            "examples": [{ "error": {
                "type": "PluginError",
                "message": "no plugin `palete`: did you mean `palette`?",
                "details": { "code": "plugin_not_found", "available": ["palette"] },
                "plugin": null,
                "timestamp": "2026-11-22T12:00:00.123Z",
            } }],
        },
        "ErrorBody": object("What went wrong.", json!({
            "type": words(ErrorType::ALL.map(ErrorType::as_str)),
            "message": text("For people; at most 1 KiB."),
            "details": {
                "type": "object",
                "description": "The code, and the facts that belong to it.",
                "properties": { "code": codes },
                "required": ["code"],
            },
            "plugin": or_null(text("The plugin that was called, if it came to that.")),
            "timestamp": time("When it happened."),
        })),
    })
}

fn plugins() -> Value {
    let lifecycle = || reference("Lifecycle");
    let plugin_schema = |of: &str| {
        let description = format!("JSON Schema of its {of}; null until it is opened.");
        json!({ "type": ["object", "boolean", "null"], "description": description })
    };
    json!({
        "PluginName": { "type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$", "examples": ["image-info"] },
        "Lifecycle": words(LIFECYCLES.map(Lifecycle::as_str)),
        "Plugin": object("A plugin as it stands.", json!({
            "name": reference("PluginName"),
            "version": text("Of the plugin, semantic."),
            "description": text("Its summary."),
            "file": text("Its file's name in the folder."),
            "generation": reference("Generation"),
            "lane": words(["process", "in-process"]),
            "lifecycle": lifecycle(),
            "reason?": text("Why it cannot be called."),
            "file_invalid?": text("Why its file, as it is now, is not served: an earlier content of it is."),
            "accepts": list(text("A pattern of MIME types.")),
            "thread_safe": flag("Whether one instance takes several calls at a time."),
            "required": flag("Whether the host is ready only with it."),
            "state": words(["IDLE", "SUCCESS", "ERROR"]),
            "success_count": count("Calls that ended well, over all generations."),
            "error_count": count("Calls that ended in an error, over all generations."),
            "crashes": count("Workers that ended with a call."),
            "last_execution_time_ms": or_null(milliseconds()),
            "avg_execution_time_ms": or_null(milliseconds()),
            "last_used": or_null(time("When a call last ended.")),
            "latency_ms": or_null(reference("Latency")),
            "last_error": or_null(reference("ErrorBody")),
            "in_flight": count("Calls that run."),
            "queued": count("Calls that wait."),
            "forced_kills": count("How often what still ran of an old generation was ended by force."),
            "workers?": reference("Workers"),
            "generations": list(reference("GenerationStatus")),
            "options_schema": plugin_schema("options"),
            "output_schema": plugin_schema("output"),
        })),
        "Generation": { "type": "string", "pattern": "^[0-9a-f]{12}$", "description": "The first 12 hex digits of the SHA-256 of its file." },
        "GenerationStatus": object("One build of a plugin.", json!({
            "generation": reference("Generation"),
            "version": text("Of the plugin, semantic."),
            "file": text("Its file's name in the folder."),
            "lifecycle": lifecycle(),
            "since": or_null(time("From when on it has had calls.")),
            "canary?": { "type": "integer", "minimum": 0, "maximum": 100, "description": "Of a hundred calls, how many it gets." },
            "in_flight": count("Calls that run."),
            "success_count": count("Calls that ended well."),
            "error_count": count("Calls that ended in an error."),
            "crashes": count("Workers that ended with a call."),
            "reason?": text("Why it does not serve."),
        })),
        "Latency": object("Of the recent window, in milliseconds.", json!({
            "p50": milliseconds(), "p90": milliseconds(), "p99": milliseconds(), "p99.9": milliseconds(), "max": milliseconds(),
        })),
        "Workers": any_object("The processes that its code runs in: how many, how many of them idle, which."),
        "RefusedFile": object("A file that is not served.", json!({
            "file": text("Its name in the folder."),
            "name": or_null(reference("PluginName")),
            "lifecycle": words([Lifecycle::Rejected.as_str()]),
            "reason": text("What was found, what was expected, what to do."),
        })),
        "PluginList": page("Every plugin, then every file that is refused.",
            json!({ "anyOf": [reference("Plugin"), reference("RefusedFile")] }), json!({ "type": "null" })),
    })
}

fn jobs() -> Value {
    let waits = ["its time", "its next attempt", "its turn", "plugin_missing"];
    let kinds = JOB_KINDS.iter().filter(|(_, kind)| kind.is_some());
    let fields = json!({
        "id": reference("JobId"),
        "kind": words(kinds.map(|(word, _)| *word)),
        "plugin": reference("PluginName"),
        "generation": or_null(text("The build that ran it last.")),
        "status": reference("JobStatus"),
        "created_at": time("When it was submitted."),
        "started_at": or_null(time("When its latest attempt began.")),
        "finished_at": or_null(time("When it ended.")),
        "attempt": count("The how manieth attempt it is at; 0 before the first."),
        "max_attempts": count("How often it is begun at most."),
        "priority": reference("Priority"),
        "not_before": time("It is not begun before."),
        "waiting_for": or_null(words(waits)),
        "progress": { "type": "number", "minimum": 0, "maximum": 1 },
        "result?": or_null(any_object("The plugin's own output, up to 64 KiB. Lists have none.")),
        "result_url?": text("Where a larger result is."),
        "error": or_null(reference("ErrorBody")),
        "mime_type": text("Of the image."),
        "image_sha256": or_null(json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
        "image_bytes": count("Of the image."),
        "callback": or_null(reference("Callback")),
        "attachments?": list(reference("StoredAttachment")),
        "_internal?": any_object("What helps an operator, and nobody else sees: `traceback`."),
    });
    json!({
        "JobId": { "type": "string", "format": "uuid", "description": "A UUIDv7." },
        "JobStatus": words(Status::ALL.map(Status::as_str)),
        "Priority": words(Priority::ALL.map(Priority::as_str)),
        "Job": object("A job.", fields),
        "Callback": object("Who is told of the job's end, and how far that has come.", json!({
            "url": text("Where."),
            "attempts": count("How often it was tried."),
            "delivered_at": or_null(time("When it was told.")),
            "error": or_null(text("What kept it from being told, at last.")),
        })),
        "StoredAttachment": object("A file that the plugin gave beside its result.", json!({
            "name": text("Of the file."),
            "mime_type": text("Of the file."),
            "bytes": count("Of the file."),
            "url": text("Where it is."),
        })),
        "JobList": page("A page of jobs, the latest first.", reference("Job"),
            or_null(json!({ "type": "string", "format": "uuid", "description": "The `cursor` of the next page." }))),
        "BatchItem": object("What came of one image: a job, or an error.", json!({
            "file": text("The name of the file, or its place in the form, from 0."),
            "job?": reference("Job"),
            "error?": reference("ErrorBody"),
        })),
        "Batch": object("What came of each image.", json!({ "items": list(reference("BatchItem")) })),
        "Attachment": object("A file that the plugin gave beside its result.", json!({
            "name": text("Of the file."),
            "mime_type": text("Of the file."),
            "data": { "type": "string", "contentEncoding": "base64" },
        })),
    })
}

fn events() -> Value {
    let job = [
        JobEventKind::Started,
        JobEventKind::Progress,
        JobEventKind::Log,
        JobEventKind::Retrying,
        JobEventKind::Ended,
    ];
    let kinds = Kind::ALL.iter().map(|kind| kind.as_str());
    json!({
        "Event": object("The data of one event of `/v1/events`.", json!({
            "id": text("Its place among all."),
            "time": time("When it was told."),
            "kind": words(kinds),
            "plugin?": reference("PluginName"),
            "version?": text("Of the plugin."),
            "generation?": reference("Generation"),
            "file?": text("The file."),
            "reason?": text("Why, for people."),
            "details?": any_object("Numbers and names beside."),
        })),
        "MissedEvents": object("The data of an event `missed`: some were forgotten before they were read.", json!({
            "kind": words(["missed"]),
            "reason": text("Why, for people."),
            "look_at": text("How things stand now."),
        })),
        "JobEvent": {
            "type": "object",
            "description": "The data of one event of `/v1/jobs/{id}/events`; the facts beside differ by kind.",
            "properties": { "job": reference("JobId"), "time": time("When it happened.") },
            "required": ["job", "time"],
        },
        "JobEventKind": words(job.map(super::super::jobs::event_word)),
    })
}

fn host() -> Value {
    json!({
        "Host": object("The host.", json!({
            "version": text("Of the program."),
            "started_at": time("When it started."),
            "uptime_s": count("For how long it is up, in seconds."),
        })),
        "History": object("How many calls a plugin has had of late.", json!({
            "interval_s": count("From one point to the next, in seconds."),
            "points": list(reference("HistoryPoint")),
        })),
        "HistoryPoint": object("One interval.", json!({
            "time": time("When it ended."),
            "calls": count("Calls that ended in it."),
            "errors": count("Those of them that gave an error."),
            "p50_ms": or_null(milliseconds()),
            "p99_ms": or_null(milliseconds()),
            "in_flight": count("Calls that ran when it ended."),
        })),
    })
}

fn health() -> Value {
    json!({
        "Alive": object("The host is alive.", json!({ "status": words(["ok"]) })),
        "Ready": object("The host is ready.", json!({
            "status": words(["ready"]),
            "degraded": list(reference("Degraded")),
        })),
        "NotReady": object("The host is not ready.", json!({
            "status": words(["starting", "not_ready", "draining"]),
            "missing": list(reference("PluginName")),
        })),
        "Degraded": object("What is not well: a plugin, a file, or the folder.", json!({
            "plugin": or_null(reference("PluginName")),
            "file": or_null(text("The file's name in the folder.")),
            "lifecycle": or_null(reference("Lifecycle")),
            "reason": or_null(text("What was found, and what to do.")),
        })),
    })
}
