//! What a record becomes: every field, and what is left out.

use serde_json::{Value, json};

use super::*;
use crate::jobs::{Image, StoredAttachment, StoredError};
use crate::names::Digest;

const ID: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

fn at(seconds: i64) -> Time {
    DateTime::from_timestamp(1_800_000_000 + seconds, 123_000_000).unwrap()
}

fn name(text: &str) -> PluginName {
    PluginName::parse(text).unwrap()
}

fn view() -> View {
    View {
        now: at(0),
        has_internal: false,
        is_served: Box::new(|plugin| plugin.as_str() == "echo"),
    }
}

/// One that waits.
fn record() -> Record {
    Record {
        id: ID,
        kind: Kind::Submitted,
        owner: None,
        request_id: "r".to_owned(),
        plugin: name("echo"),
        mime_type: "image/gif".to_owned(),
        options: Some("{}".to_owned()),
        image: Image {
            sha256: Some(Digest::new([0xab; 32])),
            bytes: 14,
        },
        priority: Priority::Low,
        status: Status::Pending,
        attempt: 0,
        max_attempts: 3,
        fence: 0,
        host: None,
        leased_until: None,
        not_before: at(-60),
        deadline: None,
        cancel_asked: false,
        created_at: at(-60),
        started_at: None,
        finished_at: None,
        generation: None,
        progress: 0.0,
        outcome: None,
        log: None,
        callback: None,
    }
}

fn ended(result: StoredResult) -> Record {
    let attachment = StoredAttachment {
        name: "a \"b\".png".to_owned(),
        mime_type: "image/png".to_owned(),
        bytes: 7,
        sha256: Digest::new([1; 32]),
    };
    let output = StoredOutput {
        result: Some(result),
        attachments: vec![attachment],
    };
    Record {
        status: Status::Success,
        attempt: 2,
        started_at: Some(at(-50)),
        finished_at: Some(at(-40)),
        generation: Some("0123456789ab".to_owned()),
        progress: 1.0,
        outcome: Some(Ok(output)),
        ..record()
    }
}

fn inline(json: &str) -> StoredResult {
    StoredResult::Inline(json.to_owned().into())
}

fn text(record: &Record) -> String {
    serde_json::to_string(&view().whole(record).unwrap()).unwrap()
}

fn document(record: &Record) -> Value {
    serde_json::from_str(&text(record)).unwrap()
}

#[test]
fn a_job_that_waits_has_every_field() {
    let expected = json!({
        "id": ID, "kind": "job", "plugin": "echo", "generation": null, "status": "PENDING",
        "created_at": "2027-01-15T07:59:00.123Z", "started_at": null, "finished_at": null,
        "attempt": 0, "max_attempts": 3, "priority": "low",
        "not_before": "2027-01-15T07:59:00.123Z", "waiting_for": "its turn",
        "progress": 0.0, "result": null, "error": null, "mime_type": "image/gif",
        "image_sha256": "ab".repeat(32), "image_bytes": 14, "callback": null,
    });
    assert_eq!(document(&record()), expected);
}

#[test]
fn a_result_goes_out_as_it_was_kept() {
    let job = ended(inline("{ \"as\":\t1.50 }"));
    assert!(text(&job).contains("\"result\":{ \"as\":\t1.50 },"));
    let job = document(&job);
    assert_eq!(job["finished_at"], "2027-01-15T07:59:20.123Z");
    assert_eq!(job["generation"], "0123456789ab");
    assert!(job["waiting_for"].is_null() && job.get("result_url").is_none());
    let url = format!("/v1/jobs/{ID}/attachments/a%20%22b%22.png");
    let attachment = json!({
        "name": "a \"b\".png", "mime_type": "image/png", "bytes": 7, "url": url,
    });
    assert_eq!(job["attachments"], json!([attachment]));
}

#[test]
fn a_large_result_is_elsewhere() {
    let url = json!(format!("/v1/jobs/{ID}/result"));
    let (sha256, bytes) = (Digest::new([2; 32]), 1 << 20);
    let long = format!("\"{}\"", "x".repeat(LARGEST_INSIDE - 1));
    for result in [StoredResult::Payload { sha256, bytes }, inline(&long)] {
        let job = document(&ended(result));
        assert!(job.get("result").unwrap().is_null());
        assert_eq!(job["result_url"], url);
    }
    let longest = format!("\"{}\"", "x".repeat(LARGEST_INSIDE - 2));
    let job = document(&ended(inline(&longest)));
    assert!(job["result"].is_string() && job.get("result_url").is_none());
}

#[test]
fn a_damaged_result_is_a_fault_and_no_panic() {
    for damaged in ["", "{", "{}}", "\u{0}", "{\"a\":}"] {
        let Err(error) = view().whole(&ended(inline(damaged))).map(drop) else {
            panic!("{damaged:?}");
        };
        assert_eq!(error.code(), crate::error::Code::Internal, "{damaged:?}");
    }
    let no_text = StoredResult::Inline(vec![b'"', 0xff, b'"'].into());
    assert!(view().whole(&ended(no_text)).is_err());
}

#[test]
fn a_list_has_no_results() {
    for result in [Some(inline("{")), None] {
        let mut job = ended(inline("{"));
        job.outcome.as_mut().unwrap().as_mut().unwrap().result = result;
        let item = serde_json::to_value(view().item(&job)).unwrap();
        assert!(item.get("result").is_none() && item.get("result_url").is_none());
        assert_eq!(item["status"], "SUCCESS");
        assert_eq!(item["attachments"][0]["bytes"], 7);
    }
}

#[test]
fn an_analysis_is_told_from_a_job() {
    let analysis = Record {
        kind: Kind::Analysis,
        ..ended(inline("1"))
    };
    assert_eq!(document(&analysis)["kind"], "analysis");
    let item = serde_json::to_value(view().item(&analysis)).unwrap();
    assert_eq!(item["kind"], "analysis");
}

#[test]
fn what_a_job_waits_for_is_said() {
    let waits = |status, attempt, not_before, plugin: &str| {
        let job = Record {
            status,
            attempt,
            not_before: at(not_before),
            plugin: name(plugin),
            ..record()
        };
        view().waiting_for(&job)
    };
    assert_eq!(waits(Status::Pending, 0, 0, "echo"), Some("its turn"));
    assert_eq!(waits(Status::Pending, 2, -1, "echo"), Some("its turn"));
    assert_eq!(waits(Status::Pending, 0, 1, "gone"), Some("its time"));
    assert_eq!(
        waits(Status::Pending, 1, 1, "echo"),
        Some("its next attempt")
    );
    assert_eq!(waits(Status::Pending, 0, 0, "gone"), Some("plugin_missing"));
    for status in Status::ALL.into_iter().skip(1) {
        assert_eq!(waits(status, 1, 1, "gone"), None);
    }
}

#[test]
fn an_error_goes_out_without_what_is_internal() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let error = StoredError {
        error: raw(r#"{"type": "ExecutionError", "message": "kaboom"}"#),
        internal: raw(r#"{"traceback": "secret"}"#),
    };
    let mut job = record();
    job.outcome = Some(Err(error));
    let told = text(&job);
    assert!(told.contains(r#""error":{"type": "ExecutionError", "message": "kaboom"}"#));
    assert!(!told.contains("secret"));
    assert!(document(&job)["result"].is_null());
}

#[test]
fn whom_to_tell_is_told_with_how_far_that_has_come() {
    let mut job = record();
    job.callback = Some(Callback {
        url: "https://example.com/hook".to_owned(),
        attempts: 2,
        due: Some(at(9)),
        delivered_at: Some(at(3)),
        error: Some("it answered 500".to_owned()),
    });
    let expected = json!({
        "url": "https://example.com/hook", "attempts": 2,
        "delivered_at": "2027-01-15T08:00:03.123Z", "error": "it answered 500",
    });
    assert_eq!(document(&job)["callback"], expected);
}
