//! Parts of jobs, made in one line each. Knows no store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead::jobs::{
    Claim, End, HandBack, Idempotency, Image, Kind, Lease, NewJob, Priority, Record, Renewal,
    Status, StoredError, StoredOutcome, StoredOutput, StoredResult, Time, digest_of,
};
use bulkhead::names::{Digest, PluginName};
use chrono::{DateTime, TimeDelta};
use uuid::{Builder, Uuid};

/// A host.
pub const HOST: Uuid = Uuid::from_u128(0x0001_0000_0000_7000_8000_0000_0000_00a1);
/// Another.
pub const OTHER: Uuid = Uuid::from_u128(0x0001_0000_0000_7000_8000_0000_0000_00b2);

/// A span of time.
pub fn millis(count: i64) -> TimeDelta {
    TimeDelta::milliseconds(count)
}

/// A span of time.
pub fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

/// A checked name.
///
/// # Panics
/// When it is none.
pub fn plugin(name: &str) -> PluginName {
    PluginName::parse(name).unwrap()
}

/// A moment as it is stored.
///
/// # Panics
/// Never.
pub fn whole(time: Time) -> Time {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap()
}

/// The digest of some text.
pub fn digest(text: &str) -> Digest {
    digest_of(text.as_bytes())
}

/// A new id of this time, greater than all that were made before for it.
///
/// # Panics
/// Before 1970.
pub fn id_at(time: Time) -> Uuid {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut rest = [0; 10];
    rest[2..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let millis = u64::try_from(time.timestamp_millis()).unwrap();
    Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}

/// A job that was just submitted.
pub fn job(name: &str, now: Time) -> NewJob {
    let id = id_at(now);
    NewJob {
        id,
        owner: None,
        request_id: format!("request-{}", id.simple()),
        plugin: plugin(name),
        mime_type: "image/png".to_owned(),
        options: Some(r#"{"depth":3}"#.to_owned()),
        image: Image {
            sha256: Some(digest(&id.to_string())),
            bytes: 1234,
        },
        data: None,
        priority: Priority::Normal,
        not_before: now,
        deadline: None,
        max_attempts: 3,
        created_at: now,
        idempotency: None,
        callback_url: None,
        claim: None,
    }
}

/// What tells a second submission from another.
pub fn idempotency(key: &str, body: &str) -> Option<Idempotency> {
    Some(Idempotency {
        key: key.to_owned(),
        digest: digest(body),
    })
}

/// An error with this code.
///
/// # Panics
/// Never.
pub fn error(code: &str) -> StoredError {
    let raw = |text| serde_json::value::RawValue::from_string(text).unwrap();
    StoredError {
        error: raw(format!(r#"{{"type":"PluginError","code":"{code}"}}"#)),
        internal: raw(format!(r#"{{"chain":["{code}", "because"]}}"#)),
    }
}

/// A result without attachments.
pub fn output(json: &str) -> StoredOutcome {
    Ok(StoredOutput {
        result: Some(StoredResult::Inline(json.to_owned().into())),
        attachments: Vec::new(),
    })
}

/// A job's success.
pub fn success(lease: Lease, now: Time) -> End {
    End {
        lease,
        status: Status::Success,
        outcome: output(r#"{"answer": 42}"#),
        started_at: None,
        finished_at: now,
        generation: Some("0123456789ab".to_owned()),
        progress: 1.0,
        log: None,
    }
}

/// A job's failure.
pub fn failure(lease: Lease, now: Time) -> End {
    End {
        status: Status::Failed,
        outcome: Err(error("failed")),
        progress: 0.25,
        ..success(lease, now)
    }
}

/// A job that comes to nothing here, and is due at once again.
pub fn back(lease: Lease, now: Time) -> HandBack {
    HandBack {
        lease,
        not_before: now,
        is_counted: true,
        error: None,
        cancelled: error("cancelled"),
        log: None,
        now,
    }
}

/// A sign of life of a job.
pub fn renewal(lease: Lease) -> Renewal {
    Renewal {
        lease,
        progress: 0.5,
        log: None,
    }
}

/// The wish of `HOST` for up to `most` jobs of each of these plugins, for 30 s.
pub fn wish(plugins: &[(&str, u32)], now: Time) -> Claim {
    Claim {
        host: HOST,
        plugins: plugins
            .iter()
            .map(|(name, most)| (plugin(name), *most))
            .collect(),
        now,
        until: now + TimeDelta::seconds(30),
    }
}

/// An analysis that is over.
pub fn analysis(name: &str, now: Time) -> Record {
    Record {
        id: id_at(now),
        kind: Kind::Analysis,
        owner: None,
        request_id: "analysis".to_owned(),
        plugin: plugin(name),
        mime_type: "image/jpeg".to_owned(),
        options: Some(r#"{ "threshold": 0.5 }"#.to_owned()),
        image: Image {
            sha256: None,
            bytes: 77,
        },
        priority: Priority::Normal,
        status: Status::Success,
        attempt: 1,
        max_attempts: 1,
        fence: 0,
        host: None,
        leased_until: None,
        not_before: now,
        deadline: Some(Duration::from_secs(5)),
        cancel_asked: false,
        created_at: now,
        started_at: Some(now + millis(1)),
        finished_at: Some(now + millis(2)),
        generation: Some("ba9876543210".to_owned()),
        progress: 1.0,
        outcome: Some(output(r#"{"found":[1,2]}"#)),
        log: None,
        callback: None,
    }
}

/// The record that is expected of a job that was just added.
///
/// # Panics
/// Never.
pub fn record_of(job: &NewJob) -> Record {
    let is_claimed = job.claim.is_some();
    Record {
        id: job.id,
        kind: Kind::Submitted,
        owner: job.owner.clone(),
        request_id: job.request_id.clone(),
        plugin: job.plugin.clone(),
        mime_type: job.mime_type.clone(),
        options: job.options.clone(),
        image: job.image,
        priority: job.priority,
        status: if is_claimed {
            Status::Running
        } else {
            Status::Pending
        },
        attempt: u32::from(is_claimed),
        max_attempts: job.max_attempts,
        fence: i64::from(is_claimed),
        host: job.claim.map(|(host, _)| host),
        leased_until: job.claim.map(|(_, until)| until),
        not_before: whole(job.not_before),
        deadline: job.deadline,
        cancel_asked: false,
        created_at: whole(job.created_at),
        started_at: is_claimed.then_some(job.created_at),
        finished_at: None,
        generation: None,
        progress: 0.0,
        outcome: None,
        log: None,
        callback: job
            .callback_url
            .clone()
            .map(|url| bulkhead::jobs::Callback {
                url,
                attempts: 0,
                due: None,
                delivered_at: None,
                error: None,
            }),
    }
}

/// A record as text, to compare all of its fields.
pub fn shown(record: &Record) -> String {
    format!("{record:#?}")
}

/// The ids of records.
pub fn ids(records: &[Record]) -> Vec<Uuid> {
    records.iter().map(|record| record.id).collect()
}
