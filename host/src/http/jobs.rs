//! Jobs as callers see them.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Api;
use super::answer::Failure;
use crate::call::Attachment;
use crate::envelope;
use crate::jobs::{Ended, Job, JobState};
use crate::names::{Digest, PluginName};
use crate::validation::Output;

/// `GET /v1/jobs/{id}`
pub(super) async fn look_up(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let job = api.services.jobs.get_job(&id)?;
    Ok(Json(Record::of(&job)).into_response())
}

/// A job in the fields of the contract.
#[derive(Serialize)]
struct Record<'a> {
    id: Uuid,
    plugin: &'a PluginName,
    generation: Option<String>,
    status: &'static str,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    attempt: u32,
    progress: f32,
    result: Option<&'a RawValue>,
    error: Option<&'a envelope::Body>,
    mime_type: &'a str,
    // Null for a synchronous analysis: hashing costs more than the call.
    image_sha256: Option<String>,
    image_bytes: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Listed<'a>>,
}

/// An attachment without its bytes.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    mime_type: &'a str,
    bytes: usize,
}

/// How far a job has come.
#[derive(Default)]
struct Course<'a> {
    generation: Option<Digest>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    progress: f32,
    output: Option<&'a Output>,
    error: Option<&'a envelope::Body>,
}

impl<'a> Record<'a> {
    fn of(job: &'a Job) -> Self {
        let course = Course::of(&job.state);
        let attachments = course.output.map_or(&[][..], |output| &output.attachments);
        Self {
            id: job.id,
            plugin: &job.plugin,
            generation: course.generation.map(|digest| digest.short()),
            status: job.status(),
            created_at: timestamp(job.created_at),
            started_at: course.started_at.map(timestamp),
            finished_at: course.finished_at.map(timestamp),
            attempt: job.attempt(),
            progress: course.progress,
            result: course.output.map(raw),
            error: course.error,
            mime_type: &job.mime_type,
            image_sha256: None,
            image_bytes: job.image_bytes,
            attachments: attachments.iter().map(Listed::from).collect(),
        }
    }
}

impl<'a> Course<'a> {
    fn of(state: &'a JobState) -> Self {
        match state {
            JobState::Pending { .. } => Self::default(),
            JobState::Running { call, started_at } => Self {
                generation: call.generation(),
                started_at: Some(*started_at),
                progress: call.progress(),
                ..Self::default()
            },
            JobState::Ended(ended) => Self::ended(ended),
        }
    }

    fn ended(ended: &'a Ended) -> Self {
        let outcome = ended.outcome.as_ref();
        Self {
            generation: ended.generation,
            started_at: ended.started_at,
            finished_at: Some(ended.finished_at),
            progress: ended.progress,
            output: outcome.ok(),
            error: outcome.err().map(|envelope| &envelope.error),
        }
    }
}

impl<'a> From<&'a Attachment> for Listed<'a> {
    fn from(attachment: &'a Attachment) -> Self {
        Self {
            name: &attachment.name,
            mime_type: &attachment.mime_type,
            bytes: attachment.data.len(),
        }
    }
}

fn raw(output: &Output) -> &RawValue {
    serde_json::from_slice(output.json()).expect("an output was checked to be JSON")
}

fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
