//! From what the chain gives to what a store keeps, and from a job in memory to a record. Knows no store.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::envelope::Envelope;
use crate::error::{CallError, Code};
use crate::jobs::{
    Ended, Image, Job, JobState, Kind, Priority, Record, Status, StoredAttachment, StoredError,
    StoredOutput, StoredResult, digest_of,
};
use crate::names::PluginName;
use crate::validation::Output;

/// An envelope as it is kept.
pub(super) fn stored_error(envelope: &Envelope) -> StoredError {
    StoredError {
        error: raw(&envelope.error),
        internal: raw(&envelope.internal),
    }
}

/// The envelope of an error of a plugin's job, as it is kept.
pub(super) fn error_of(error: &CallError, plugin: Option<&PluginName>) -> StoredError {
    stored_error(&Envelope::new(error, plugin))
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("text, numbers and maps by text")
}

/// The status that an error ends a job with.
pub(super) fn status_of(code: Code) -> Status {
    if code == Code::Cancelled {
        Status::Cancelled
    } else {
        Status::Failed
    }
}

/// A synchronous analysis as a record. Its attachments are in memory; their digests are made for the look.
pub(super) fn record_of(job: &Job) -> Record {
    let (started_at, finished_at, generation, progress, outcome) = match &job.state {
        JobState::Pending { .. } => (None, None, None, 0.0, None),
        JobState::Running { call, started_at } => (
            Some(*started_at),
            None,
            call.generation(),
            call.progress(),
            None,
        ),
        JobState::Ended(ended) => (
            ended.started_at,
            Some(ended.finished_at),
            ended.generation,
            ended.progress,
            Some(outcome_of(ended)),
        ),
    };
    Record {
        id: job.id,
        kind: Kind::Analysis,
        owner: job.owner.as_deref().map(str::to_owned),
        request_id: String::new(),
        plugin: job.plugin.clone(),
        mime_type: job.mime_type.clone(),
        options: None,
        image: Image {
            sha256: None,
            bytes: job.image_bytes as u64,
        },
        priority: Priority::Normal,
        status: status(job),
        attempt: job.attempt(),
        max_attempts: 1,
        fence: 0,
        host: None,
        leased_until: None,
        not_before: job.created_at,
        deadline: None,
        cancel_asked: false,
        created_at: job.created_at,
        started_at,
        finished_at,
        generation: generation.map(|digest| digest.short()),
        progress,
        outcome,
        log: None,
        callback: None,
    }
}

/// The same, for who must not wait: to name the functions of a backtrace takes long.
pub(super) async fn record_for(job: Job) -> Result<Record, CallError> {
    let is_error = matches!(&job.state, JobState::Ended(ended) if ended.outcome.is_err());
    if !is_error {
        return Ok(record_of(&job));
    }
    let record = tokio::task::spawn_blocking(move || record_of(&job)).await;
    record.map_err(|error| CallError::internal(format!("a job's error could not be told: {error}")))
}

/// How far a synchronous analysis has come.
pub(super) fn status(job: &Job) -> Status {
    match &job.state {
        JobState::Pending { .. } => Status::Pending,
        JobState::Running { .. } => Status::Running,
        JobState::Ended(ended) => match &ended.outcome {
            Ok(_) => Status::Success,
            Err(envelope) => status_of(envelope.code()),
        },
    }
}

fn outcome_of(ended: &Ended) -> Result<StoredOutput, StoredError> {
    match &ended.outcome {
        Ok(output) => Ok(StoredOutput {
            result: Some(StoredResult::Inline(output.json().clone())),
            attachments: attachments_of(output, |data| digest_of(data)),
        }),
        Err(envelope) => Err(stored_error(envelope)),
    }
}

/// The attachments of an answer, without their bytes.
pub(super) fn attachments_of(
    output: &Output,
    mut digest: impl FnMut(&Bytes) -> crate::names::Digest,
) -> Vec<StoredAttachment> {
    let attachments = output.attachments.iter();
    let stored = attachments.map(|attachment| StoredAttachment {
        name: attachment.name.clone(),
        mime_type: attachment.mime_type.clone(),
        bytes: attachment.data.len() as u64,
        sha256: digest(&attachment.data),
    });
    stored.collect()
}
