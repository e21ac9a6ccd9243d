//! A job in the fields of the contract, from its record. What is JSON in the store goes out as it is.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::Api;
use super::super::access::Caller;
use super::result;
use crate::error::CallError;
use crate::jobs::{Callback, Kind, Priority, Record, Status, StoredOutput, StoredResult, Time};
use crate::names::PluginName;

/// The largest result that stands in its job, in bytes.
pub(super) const LARGEST_INSIDE: usize = 64 << 10;

/// What is to be told of jobs that their records alone do not say.
pub(super) struct View {
    now: Time,
    // Operators see what helps them to find the place of an error.
    has_internal: bool,
    is_served: IsServed,
}

/// Whether some host can run the jobs of a plugin.
type IsServed = Box<dyn Fn(&PluginName) -> bool + Send + Sync>;

/// A job in the fields of the contract.
#[derive(Serialize)]
pub(super) struct Job<'a> {
    id: Uuid,
    kind: &'static str,
    plugin: &'a PluginName,
    generation: Option<&'a str>,
    status: &'static str,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    attempt: u32,
    max_attempts: u32,
    priority: Priority,
    not_before: String,
    waiting_for: Option<&'static str>,
    progress: f32,
    // Not there at all in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<&'a RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_url: Option<String>,
    error: Option<&'a RawValue>,
    #[serde(rename = "_internal", skip_serializing_if = "Option::is_none")]
    internal: Option<&'a RawValue>,
    mime_type: &'a str,
    // Null for a synchronous analysis: hashing costs more than the call.
    image_sha256: Option<String>,
    image_bytes: u64,
    callback: Option<Told<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Listed<'a>>,
}

/// How far the telling of a job's end has come.
#[derive(Serialize)]
struct Told<'a> {
    url: &'a str,
    attempts: u32,
    delivered_at: Option<String>,
    error: Option<&'a str>,
}

/// An attachment without its bytes.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    mime_type: &'a str,
    bytes: u64,
    url: String,
}

impl View {
    /// How things stand now, as `caller` may see them.
    pub(super) fn now(api: &Api, caller: &Caller) -> Self {
        let jobs = Arc::clone(&api.services.jobs);
        Self {
            now: jobs.time(),
            has_internal: caller.operates(),
            is_served: Box::new(move |plugin| jobs.is_served(plugin)),
        }
    }

    /// A job with all there is.
    ///
    /// # Errors
    /// `internal` where the store has damaged its result.
    pub(super) fn whole<'a>(&self, record: &'a Record) -> Result<Job<'a>, CallError> {
        let mut job = self.item(record);
        let error = record.outcome.as_ref().and_then(|it| it.as_ref().err());
        let internal = error.filter(|_| self.has_internal);
        job.internal = internal.map(|stored| &*stored.internal);
        let result = output(record).and_then(|output| output.result.as_ref());
        job.result = Some(match result {
            None => None,
            Some(StoredResult::Inline(json)) if json.len() <= LARGEST_INSIDE => {
                Some(raw(record.id, json)?)
            }
            Some(StoredResult::Inline(_) | StoredResult::Payload { .. }) => {
                job.result_url = Some(result::url(record.id));
                None
            }
        });
        Ok(job)
    }

    /// A job without its result, as lists have it.
    pub(super) fn item<'a>(&self, record: &'a Record) -> Job<'a> {
        let error = record.outcome.as_ref().and_then(|it| it.as_ref().err());
        let listed = |output| Listed::all(record.id, output);
        Job {
            id: record.id,
            kind: kind(record.kind),
            plugin: &record.plugin,
            generation: record.generation.as_deref(),
            status: record.status.as_str(),
            created_at: timestamp(record.created_at),
            started_at: record.started_at.map(timestamp),
            finished_at: record.finished_at.map(timestamp),
            attempt: record.attempt,
            max_attempts: record.max_attempts,
            priority: record.priority,
            not_before: timestamp(record.not_before),
            waiting_for: self.waiting_for(record),
            progress: record.progress,
            result: None,
            result_url: None,
            error: error.map(|stored| &*stored.error),
            internal: None,
            mime_type: &record.mime_type,
            image_sha256: record.image.sha256.map(|digest| digest.to_string()),
            image_bytes: record.image.bytes,
            callback: record.callback.as_ref().map(Told::from),
            attachments: output(record).map(listed).unwrap_or_default(),
        }
    }

    /// What keeps a job from being run, while something does.
    fn waiting_for(&self, record: &Record) -> Option<&'static str> {
        if record.status != Status::Pending {
            return None;
        }
        Some(if record.not_before > self.now {
            if record.attempt == 0 {
                "its time"
            } else {
                "its next attempt"
            }
        } else if (self.is_served)(&record.plugin) {
            "its turn"
        } else {
            "plugin_missing"
        })
    }
}

impl<'a> Listed<'a> {
    fn all(job: Uuid, output: &'a StoredOutput) -> Vec<Self> {
        let attachments = output.attachments.iter().enumerate();
        let listed = attachments.map(|(index, attachment)| Self {
            name: &attachment.name,
            mime_type: &attachment.mime_type,
            bytes: attachment.bytes,
            url: result::attachment_url(job, &output.attachment_word(index)),
        });
        listed.collect()
    }
}

impl<'a> From<&'a Callback> for Told<'a> {
    fn from(callback: &'a Callback) -> Self {
        Self {
            url: &callback.url,
            attempts: callback.attempts,
            delivered_at: callback.delivered_at.map(timestamp),
            error: callback.error.as_deref(),
        }
    }
}

/// What came to be in which way.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Submitted => "job",
        Kind::Analysis => "analysis",
    }
}

fn output(record: &Record) -> Option<&StoredOutput> {
    record.outcome.as_ref().and_then(|it| it.as_ref().ok())
}

/// Looks through the text once, and takes nothing of it apart: a disk may have changed what a plugin has said.
///
/// # Errors
/// `internal` where it has.
pub(super) fn raw(job: Uuid, json: &[u8]) -> Result<&RawValue, CallError> {
    serde_json::from_slice(json).map_err(|error| {
        CallError::internal(format!(
            "the stored result of job {job} is damaged: {error}"
        ))
    })
}

/// A time as all answers have it.
pub(in crate::http) fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;
