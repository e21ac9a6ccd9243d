//! What is said of the end of a job, and the proof that it was us, by the Standard Webhooks specification. Sends
//! nothing.

use chrono::SecondsFormat;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::Sha256;
use uuid::Uuid;

use crate::config::Secret;
use crate::jobs::{Record, Status, Time};
use crate::names::PluginName;

/// The largest error that is told whole: envelopes have their own, smaller bound.
const MAX_ERROR: usize = 64 << 10;

/// A message, the same for every try.
pub(super) struct Message {
    /// What tells it from all others, for who hears it twice: a job that is run once more ends once more.
    pub(super) id: String,
    pub(super) body: Vec<u8>,
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// When it happened, not when it is told.
    timestamp: Option<String>,
    data: Job<'a>,
}

/// The job as `GET /v1/jobs/{id}` shows it, but for what is large.
#[derive(Serialize)]
struct Job<'a> {
    id: Uuid,
    plugin: &'a PluginName,
    status: &'static str,
    attempt: u32,
    created_at: String,
    finished_at: Option<String>,
    error: Option<Box<RawValue>>,
    url: String,
    result_url: Option<String>,
}

impl Message {
    pub(super) fn of(record: &Record) -> Self {
        let url = format!("/v1/jobs/{}", record.id);
        let said = Said {
            kind: "job.ended",
            timestamp: record.finished_at.map(text),
            data: Job {
                id: record.id,
                plugin: &record.plugin,
                status: record.status.as_str(),
                attempt: record.attempt,
                created_at: text(record.created_at),
                finished_at: record.finished_at.map(text),
                error: error(record),
                result_url: (record.status == Status::Success).then(|| format!("{url}/result")),
                url,
            },
        };
        Self {
            id: id(record),
            body: serde_json::to_vec(&said).expect("texts and numbers are JSON"),
        }
    }

    /// The value of `webhook-signature` for a try at that second.
    pub(super) fn signature(&self, secret: &Secret, second: i64) -> String {
        let key = Hmac::<Sha256>::new_from_slice(secret.key());
        let mut signer = key.expect("a key may have any length");
        signer.update(format!("{}.{second}.", self.id).as_bytes());
        signer.update(&self.body);
        let signature = signer.finalize().into_bytes();
        format!("v1,{}", base64_simd::STANDARD.encode_to_string(signature))
    }
}

fn id(record: &Record) -> String {
    let ended = record.finished_at.map_or(0, |at| at.timestamp_millis());
    format!("{}-{ended}", record.id)
}

/// What callers see of a job's error; what operators see besides stays here.
fn error(record: &Record) -> Option<Box<RawValue>> {
    let ended = record.status != Status::Success;
    let error = record.outcome.as_ref().filter(|_| ended)?.as_ref().err()?;
    if error.error.get().len() <= MAX_ERROR {
        return Some(error.error.clone());
    }
    let short = serde_json::value::to_raw_value(&json!({ "truncated": true }));
    Some(short.expect("an object of one flag is JSON"))
}

fn text(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{ended, failed};
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_as_the_specification_has_it() {
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        let secret = Secret::try_from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()).unwrap();
        assert_eq!(
            message.signature(&secret, 1_614_265_330),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_success_is_told_without_its_result() {
        let record = ended("http://x/");
        let url = format!("/v1/jobs/{}", record.id);
        let message = Message::of(&record);
        let said: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(message.id, format!("{}-1795341601500", record.id));
        assert_eq!(
            said,
            json!({
                "type": "job.ended",
                "timestamp": "2026-11-22T10:00:01.500Z",
                "data": {
                    "id": record.id, "plugin": "fake", "status": "SUCCESS", "attempt": 2,
                    "created_at": "2026-11-22T10:00:00.000Z", "finished_at": "2026-11-22T10:00:01.500Z",
                    "error": null, "url": url, "result_url": format!("{url}/result"),
                },
            })
        );
    }

    #[test]
    fn each_end_of_a_job_has_an_id_of_its_own() {
        let first = ended("http://x/");
        let mut again = first.clone();
        assert_eq!(Message::of(&again).id, Message::of(&first).id);
        again.finished_at = again
            .finished_at
            .map(|at| at + chrono::TimeDelta::milliseconds(1));
        assert_ne!(Message::of(&again).id, Message::of(&first).id);
    }

    #[test]
    fn a_failure_is_told_as_callers_see_it() {
        let record = failed(r#"{"message":"boom"}"#, r#"{"traceback":"inside"}"#);
        let message = Message::of(&record);
        let said: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(said["data"]["error"], json!({ "message": "boom" }));
        assert_eq!(said["data"]["result_url"], Value::Null);
        assert!(!String::from_utf8(message.body).unwrap().contains("inside"));
    }

    #[test]
    fn a_message_is_small() {
        let large = json!({ "message": "x".repeat(1 << 20) }).to_string();
        let message = Message::of(&failed(&large, "{}"));
        assert!(message.body.len() < 1024);
        let said: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(said["data"]["error"], json!({ "truncated": true }));
    }
}
