//! Jobs: submitted, looked at, followed, ended.

use serde_json::{Value, json};

use super::super::operation::{Operation, json_of, reference};
use super::super::parts::{in_header, in_path, in_query};
use super::super::schemas::{or_null, words};
use super::analyze::{self, BODY, bodies, form};
use crate::error::Code;
use crate::http::analyze::batch::MAX_IMAGES;
use crate::http::jobs::{KINDS, LIMIT, MAX_ATTEMPTS, MAX_KEY, MAX_LIMIT, MAX_URL, MAX_WAIT};

pub(super) const TAG: &str = "jobs";

const GONE: [Code; 3] = [Code::MalformedRequest, Code::NotFound, Code::Expired];

pub(super) fn list() -> Operation {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT });
    let kinds = words(KINDS.iter().map(|(word, _)| *word));
    let cursor = json!({ "type": "string", "format": "uuid" });
    Operation::new(TAG, "list_jobs", "A page of jobs, the latest first")
        .takes(in_query("status", reference("JobStatus"), "Only those of this status."))
        .takes(in_query("plugin", reference("PluginName"), "Only those of this plugin."))
        .takes(in_query("kind", kinds, "`job` for what was submitted, which is the default; `analysis` for what somebody waited for."))
        .takes(in_query("limit", limit, "How many at most."))
        .takes(in_query("cursor", cursor, "The `next_cursor` of the page before."))
        .answers(200, "A page.", json_of("JobList"))
        .fails(&[Code::MalformedRequest])
}

pub(super) fn submit() -> Operation {
    let says = "The job is durable once it is acknowledged. The query parameters are for a raw image: the other bodies have the same inside.";
    let headers = ["X-Job-Id", "Location"];
    let operation = terms_in_query(Operation::new(TAG, "submit_job", "Keep a call as a job"));
    operation
        .says(says)
        .takes(analyze::deadline())
        .takes(idempotency_key())
        .takes(analyze::plugin())
        .takes(analyze::options())
        .body(
            "The image, in one of three forms.",
            bodies("JobRequest", terms()),
        )
        .answers_with(202, "The job, which is taken.", json_of("Job"), &headers)
        .answers_with(
            200,
            "The job that was submitted under this `Idempotency-Key` before.",
            json_of("Job"),
            &headers,
        )
        .fails(&BODY)
        .fails(&[Code::StorageFull])
}

pub(super) fn submit_batch() -> Operation {
    let image = json!({ "type": "array", "minItems": 1, "maxItems": MAX_IMAGES, "items": { "type": "string", "format": "binary" } });
    let content = json!({ "multipart/form-data": { "schema": form(image, terms()) } });
    let all =
        "Each image has its job, or its error: an error as a whole only where none was taken.";
    Operation::new(TAG, "submit_batch", "Keep a call for each of many images")
        .says("The other fields are common to all images.")
        .takes(analyze::deadline())
        .takes(idempotency_key())
        .body("A form with files called `image`.", content)
        .answers(202, all, json_of("Batch"))
        .answers(
            200,
            "All were submitted under this `Idempotency-Key` before.",
            json_of("Batch"),
        )
        .fails(&BODY)
        .fails(&[Code::StorageFull])
}

pub(super) fn look_up() -> Operation {
    let most = MAX_WAIT.as_secs();
    let seconds = json!({ "type": "number", "minimum": 0, "maximum": most });
    Operation::new(TAG, "look_up_job", "A job as it stands")
        .takes(id())
        .takes(in_query(
            "wait",
            seconds,
            "For how many seconds the answer may wait for the end of the job.",
        ))
        .answers(200, "The job.", json_of("Job"))
        .fails(&GONE)
}

pub(super) fn cancel() -> Operation {
    Operation::new(TAG, "cancel_job", "End a job")
        .says("A job that has ended stays as it is.")
        .takes(id())
        .answers(200, "The job as it stands then.", json_of("Job"))
        .fails(&GONE)
}

pub(super) fn retry() -> Operation {
    Operation::new(
        TAG,
        "retry_job",
        "Run a job once more that has failed or was cancelled",
    )
    .takes(id())
    .answers(202, "The job, which waits again.", json_of("Job"))
    .fails(&GONE)
    .fails(&[Code::InvalidInput, Code::StorageFull])
}

pub(super) fn follow() -> Operation {
    let says = "Each event has the number of its place as `id`, its kind (`JobEventKind`) as `event`, and a `JobEvent` as `data`. \
                The answer ends after the event `ended`.";
    let number = || json!({ "type": "integer", "minimum": 0 });
    Operation::new(TAG, "follow_job", "What happens to a job, up to its end")
        .says(says)
        .takes(id())
        .takes(in_header(
            "Last-Event-ID",
            number(),
            "The last event that was seen.",
        ))
        .takes(in_query(
            "last_event_id",
            number(),
            "The same, for who cannot send the header; which counts if there are both.",
        ))
        .answers_with(
            200,
            "Server-sent events.",
            stream("JobEvent"),
            &["Cache-Control"],
        )
        .answers(
            204,
            "The job has ended, and all of it was seen.",
            Value::Null,
        )
        .fails(&GONE)
}

pub(super) fn result() -> Operation {
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    Operation::new(
        TAG,
        "job_result",
        "The plugin's own output, whatever its size",
    )
    .takes(id())
    .answers(
        200,
        "The output, byte by byte as the plugin gave it.",
        content,
    )
    .fails(&GONE)
}

pub(super) fn attachment() -> Operation {
    let name = json!({ "type": "string", "minLength": 1 });
    let content = json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } });
    Operation::new(
        TAG,
        "job_attachment",
        "A file that the plugin gave beside its result",
    )
    .takes(id())
    .takes(in_path("name", name, "As the `url` in the job has it."))
    .answers_with(
        200,
        "The file, under the type that the plugin gave it.",
        content,
        &["Content-Disposition"],
    )
    .fails(&GONE)
}

/// An answer that does not end by itself.
pub(super) fn stream(data: &str) -> Value {
    json!({ "text/event-stream": { "schema": { "type": "string" }, "x-event-data": reference(data) } })
}

/// What is common to bodies of jobs, beside what an analysis has.
pub(in crate::http::openapi) fn wishes() -> Value {
    let attempts = json!({ "type": "integer", "minimum": 1, "maximum": MAX_ATTEMPTS });
    json!({
        "priority": or_null(reference("Priority")),
        "not_before": or_null(not_before()),
        "max_attempts": or_null(attempts),
        "callback_url": or_null(callback_url()),
    })
}

/// The same where all is text.
fn terms() -> Value {
    json!({
        "priority": reference("Priority"),
        "not_before": not_before(),
        "max_attempts": { "type": "integer", "minimum": 1, "maximum": MAX_ATTEMPTS },
        "callback_url": callback_url(),
    })
}

fn terms_in_query(operation: Operation) -> Operation {
    let Value::Object(terms) = terms() else {
        return operation;
    };
    let says = "With a raw image: as in the other bodies.";
    terms
        .into_iter()
        .fold(operation, |operation, (name, schema)| {
            operation.takes(in_query(&name, schema, says))
        })
}

fn not_before() -> Value {
    json!({ "type": "string", "format": "date-time", "description": "The job is not begun before.", "examples": ["2030-12-31T08:00:00Z"] })
}

fn callback_url() -> Value {
    let says = "Who is told of the end, by a POST; only where the configuration allows it.";
    json!({ "type": "string", "format": "uri", "maxLength": MAX_URL, "description": says })
}

fn idempotency_key() -> Value {
    let key =
        json!({ "type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$" });
    in_header(
        "Idempotency-Key",
        key,
        "Your own word for the submission: sent again, it gives the same job again.",
    )
}

fn id() -> Value {
    in_path("id", reference("JobId"), "The job's id.")
}
