//! What a daemon says of jobs, for people. A field that an older or newer daemon does not have is left out.

use comfy_table::{Cell, Color, ColumnConstraint, Table};
use serde_json::Value;

use super::super::daemon::{one_line, text};
use super::super::print;

/// `ID STATUS`
pub(super) fn line(record: &Value) -> String {
    let part = |key: &str| text(&record[key]).unwrap_or_else(|| "?".to_owned());
    format!("{} {}", part("id"), part("status"))
}

/// Why a job came to nothing, if it did.
pub(super) fn failure(record: &Value) -> Option<String> {
    let error = &record["error"];
    if let (true, Some(status @ ("FAILED" | "CANCELLED"))) =
        (error.is_null(), record["status"].as_str())
    {
        return Some(status.to_lowercase());
    }
    let part = |place: &str| error.pointer(place).and_then(text);
    let message = part("/message")?;
    let kind = part("/type").unwrap_or_default();
    let code = part("/details/code").unwrap_or_default();
    let place = part("/details/location").map(|place| format!(" (at {place})"));
    let place = place.unwrap_or_default();
    Some(format!("{kind} {code}: {message}{place}"))
}

/// A table of jobs.
pub(super) fn list(jobs: &[Value]) -> String {
    let mut table = print::table(&[
        "id", "plugin", "status", "created", "attempt", "took", "note",
    ]);
    for job in jobs {
        table.add_row(row(job));
    }
    // An id is copied, so it stays in one line, however narrow the terminal is.
    if let Some(ids) = table.column_mut(0) {
        ids.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.to_string()
}

fn row(job: &Value) -> Vec<Cell> {
    let cell = |text: Option<String>| Cell::new(text.as_deref().unwrap_or("-"));
    let status = text(&job["status"]).unwrap_or_default();
    let color = match status.as_str() {
        "SUCCESS" => Color::Green,
        "RUNNING" => Color::Cyan,
        "PENDING" => Color::Yellow,
        "CANCELLED" => Color::DarkGrey,
        _ => Color::Red,
    };
    vec![
        cell(text(&job["id"])),
        cell(text(&job["plugin"])),
        Cell::new(status).fg(color),
        cell(created(job)),
        cell(attempt(job)),
        cell(took(job)),
        Cell::new(note(job)),
    ]
}

/// To the second: the rest is in `show`.
fn created(job: &Value) -> Option<String> {
    let moment = chrono::DateTime::parse_from_rfc3339(job["created_at"].as_str()?);
    Some(moment.ok()?.format("%F %TZ").to_string())
}

/// `2 of 3`
fn attempt(job: &Value) -> Option<String> {
    let attempt = job["attempt"].as_u64()?;
    Some(match job["max_attempts"].as_u64() {
        Some(most) => format!("{attempt} of {most}"),
        None => attempt.to_string(),
    })
}

/// How long its latest attempt took.
fn took(job: &Value) -> Option<String> {
    let moment = |key: &str| chrono::DateTime::parse_from_rfc3339(job[key].as_str()?).ok();
    let span = moment("finished_at")?.signed_duration_since(moment("started_at")?);
    let span = span.to_std().ok()?;
    Some(humantime::format_duration(span).to_string())
}

/// What a job waits for, how far it is, or why it came to nothing.
fn note(job: &Value) -> String {
    let waits = || match job["waiting_for"].as_str()? {
        "plugin_missing" => Some("no host has its plugin".to_owned()),
        other => Some(format!("waits for {}", one_line(other))),
    };
    let share = || match (job["status"].as_str()?, job["progress"].as_f64()?) {
        ("RUNNING", share) if share > 0.0 => Some(format!("{:.0} %", share * 100.0)),
        _ => None,
    };
    let code = || text(job.pointer("/error/details/code")?);
    code().or_else(waits).or_else(share).unwrap_or_default()
}

/// What is told of a job, and how it is called.
const FACTS: [(&str, &str); 22] = [
    ("job", "/id"),
    ("plugin", "/plugin"),
    ("generation", "/generation"),
    ("status", "/status"),
    ("waits for", "/waiting_for"),
    ("priority", "/priority"),
    ("created", "/created_at"),
    ("not before", "/not_before"),
    ("started", "/started_at"),
    ("finished", "/finished_at"),
    ("attempt", ""),
    ("took", ""),
    ("progress", "/progress"),
    ("image's type", "/mime_type"),
    ("image's bytes", "/image_bytes"),
    ("image's SHA-256", "/image_sha256"),
    ("error", ""),
    ("callback", "/callback/url"),
    ("callback's attempts", "/callback/attempts"),
    ("callback delivered", "/callback/delivered_at"),
    ("callback's error", "/callback/error"),
    ("result", ""),
];

/// All that is known of one job; nothing of what is no job.
pub(super) fn job(record: &Value) -> Option<String> {
    record["id"].as_str()?;
    let mut table = print::pairs();
    for (label, path) in FACTS {
        let value = match label {
            "attempt" => attempt(record),
            "took" => took(record),
            "error" => failure(record),
            "result" => result(record),
            _ => record.pointer(path).and_then(text),
        };
        if let Some(value) = value {
            table.add_row([label, &value]);
        }
    }
    attached(record, &mut table);
    Some(table.to_string())
}

fn result(record: &Value) -> Option<String> {
    let result = &record["result"];
    if !result.is_null() {
        return Some(one_line(&result.to_string()));
    }
    let _ = record["result_url"].as_str()?;
    Some("too long to be shown here: --save DIR saves it".to_owned())
}

fn attached(record: &Value, table: &mut Table) {
    for attachment in record["attachments"].as_array().into_iter().flatten() {
        let part = |key: &str| text(&attachment[key]).unwrap_or_default();
        let (name, kind, bytes) = (part("name"), part("mime_type"), part("bytes"));
        table.add_row(["attached", &format!("{name} ({kind}, {bytes} bytes)")]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed() -> Value {
        json!({
            "id": "01936f2e", "plugin": "tiny", "status": "FAILED", "attempt": 3, "max_attempts": 3,
            "created_at": "2026-11-22T12:00:00.000Z", "started_at": "2026-11-22T12:00:01.000Z",
            "finished_at": "2026-11-22T12:00:02.500Z", "result": null, "priority": "high",
            "error": { "type": "ExecutionError", "message": "ka\x1b[2Jboom",
                       "details": { "code": "panic", "location": "src/lib.rs:1:2" } },
            "attachments": [{ "name": "a\nb", "mime_type": "image/png", "bytes": 7 }],
            "callback": { "url": "https://example.com/", "attempts": 1, "delivered_at": null, "error": "410" },
        })
    }

    #[test]
    fn a_failure_is_one_line() {
        let expected = "ExecutionError panic: ka [2Jboom (at src/lib.rs:1:2)";
        assert_eq!(failure(&failed()).as_deref(), Some(expected));
        for (record, expected) in [
            (json!({ "status": "SUCCESS", "error": null }), None),
            (json!({ "status": "PENDING" }), None),
            (json!({ "status": "CANCELLED" }), Some("cancelled")),
        ] {
            assert_eq!(failure(&record).as_deref(), expected, "{record}");
        }
        assert_eq!(line(&failed()), "01936f2e FAILED");
        assert_eq!(line(&json!({})), "? ?");
    }

    #[test]
    fn a_job_is_told_in_pairs() {
        let told = job(&failed()).unwrap();
        for expected in [
            "01936f2e",
            "3 of 3",
            "1s 500ms",
            "ExecutionError panic: ka [2Jboom",
            "a b (image/png, 7 bytes)",
            "https://example.com/",
            "410",
            "high",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
        assert!(!told.contains("progress"), "{told}");
        assert!(!told.contains('\x1b'), "{told}");
        assert_eq!(job(&json!([])), None);
        let long = json!({ "id": "1", "status": "SUCCESS", "result": null, "result_url": "/v1" });
        assert!(job(&long).unwrap().contains("--save"));
    }

    #[test]
    fn what_is_worth_a_note() {
        for (record, expected) in [
            (failed(), "panic"),
            (
                json!({ "waiting_for": "plugin_missing" }),
                "no host has its plugin",
            ),
            (json!({ "waiting_for": "its turn" }), "waits for its turn"),
            (json!({ "status": "RUNNING", "progress": 0.5 }), "50 %"),
            (json!({ "status": "SUCCESS", "progress": 1.0 }), ""),
        ] {
            assert_eq!(note(&record), expected, "{record}");
        }
        // So narrow that cells are broken.
        let id = "01a20660-fa26-7044-a419-78b935cff511";
        let long = json!({ "id": id, "plugin": "a".repeat(64), "waiting_for": "b".repeat(200) });
        assert!(list(&[long]).contains(id));
        let table = list(&[failed(), json!({})]);
        for expected in [
            "01936f2e",
            "tiny",
            "2026-11-22 12:00:00Z",
            "FAILED",
            "3 of 3",
            "1s 500ms",
            "panic",
        ] {
            assert!(table.contains(expected), "{expected}\n{table}");
        }
    }
}
