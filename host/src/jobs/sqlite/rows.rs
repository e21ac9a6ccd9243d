//! A job as a row: which columns there are, what stands in each, and how it is read back. Knows no statement.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::session::Done;
use crate::jobs::record::{
    Callback, Image, Kind, Priority, Record, Status, StoredAttachment, StoredError, StoredOutcome,
    StoredOutput, StoredResult, Time,
};
use crate::jobs::store::StoreError;
use crate::names::{Digest, PluginName};

/// All columns of a record, in the order in which [`record`] reads them.
macro_rules! columns {
    () => {
        concat!(
            "id, kind, owner, request_id, plugin, mime_type, image_sha256, image_bytes, priority, status, ",
            "attempt, max_attempts, fence, host, leased_until, not_before, deadline, cancel_asked, created_at, ",
            "started_at, finished_at, generation, progress, callback_url, callback_attempts, callback_due, ",
            "callback_delivered_at, callback_error, output, error, internal, result, options, log"
        )
    };
}

/// The same without what lists leave out.
macro_rules! listed_columns {
    () => {
        concat!(
            "id, kind, owner, request_id, plugin, mime_type, image_sha256, image_bytes, priority, status, ",
            "attempt, max_attempts, fence, host, leased_until, not_before, deadline, cancel_asked, created_at, ",
            "started_at, finished_at, generation, progress, callback_url, callback_attempts, callback_due, ",
            "callback_delivered_at, callback_error, output, error, internal, NULL AS result, NULL AS options, ",
            "NULL AS log"
        )
    };
}

pub(super) use {columns, listed_columns};

/// The number of a kind; numbers stay as they are for ever.
pub(super) fn kind_number(kind: Kind) -> i64 {
    match kind {
        Kind::Submitted => 0,
        Kind::Analysis => 1,
    }
}

/// A moment as it is stored.
pub(super) fn millis(time: Time) -> i64 {
    time.timestamp_millis()
}

/// A length of time as it is stored.
pub(super) fn length(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A size as it is stored.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// An outcome as it is stored: one column each.
#[derive(Default)]
pub(super) struct OutcomeCells<'a> {
    pub(super) output: Option<String>,
    pub(super) error: Option<&'a str>,
    pub(super) internal: Option<&'a str>,
    pub(super) result: Option<&'a [u8]>,
}

impl<'a> OutcomeCells<'a> {
    pub(super) fn of(outcome: &'a StoredOutcome) -> Self {
        match outcome {
            Ok(output) => Self {
                output: Some(output_text(output)),
                result: match &output.result {
                    Some(StoredResult::Inline(bytes)) => Some(bytes),
                    Some(StoredResult::Payload { .. }) | None => None,
                },
                ..Self::default()
            },
            Err(error) => Self {
                error: Some(error.error.get()),
                internal: Some(error.internal.get()),
                ..Self::default()
            },
        }
    }
}

/// The payloads that an output needs.
pub(super) fn payloads(output: &StoredOutput) -> Vec<Digest> {
    let result = match &output.result {
        Some(StoredResult::Payload { sha256, .. }) => Some(*sha256),
        Some(StoredResult::Inline(_)) | None => None,
    };
    let attachments = output
        .attachments
        .iter()
        .map(|attachment| attachment.sha256);
    result.into_iter().chain(attachments).collect()
}

// What of an output stands in its text: all but a result in the row itself.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<PayloadText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<AttachmentText>,
}

#[derive(Serialize, Deserialize)]
struct PayloadText {
    sha256: String,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct AttachmentText {
    name: String,
    mime_type: String,
    bytes: u64,
    sha256: String,
}

fn output_text(output: &StoredOutput) -> String {
    let result = match &output.result {
        Some(StoredResult::Payload { sha256, bytes }) => Some(PayloadText {
            sha256: sha256.to_string(),
            bytes: *bytes,
        }),
        Some(StoredResult::Inline(_)) | None => None,
    };
    let attachments = output.attachments.iter().map(|attachment| AttachmentText {
        name: attachment.name.clone(),
        mime_type: attachment.mime_type.clone(),
        bytes: attachment.bytes,
        sha256: attachment.sha256.to_string(),
    });
    let text = OutputText {
        result,
        attachments: attachments.collect(),
    };
    serde_json::to_string(&text).expect("texts and numbers are always JSON")
}

/// What `output` says, beside a result in the row itself.
fn read_output(text: &str, inline: Option<Vec<u8>>) -> Result<StoredOutput, String> {
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
    let text: OutputText = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let attachments = text.attachments.into_iter().map(|attachment| {
        Ok(StoredAttachment {
            sha256: digest(&attachment.sha256)?,
            name: attachment.name,
            mime_type: attachment.mime_type,
            bytes: attachment.bytes,
        })
    });
    let payload = |payload: PayloadText| {
        Ok::<_, String>(StoredResult::Payload {
            sha256: digest(&payload.sha256)?,
            bytes: payload.bytes,
        })
    };
    let inline = inline.map(|bytes| StoredResult::Inline(Bytes::from(bytes)));
    Ok(StoredOutput {
        attachments: attachments.collect::<Result<_, String>>()?,
        result: text.result.map(payload).transpose()?.or(inline),
    })
}

/// The digests that a removed job needed: `id, image_sha256, output`.
pub(super) fn needed(row: &Row<'_>) -> Done<(Uuid, Vec<Digest>)> {
    let mut cells = Cells::of(row)?;
    let image = cells.digest()?;
    // What cannot be read needs nothing that could be found.
    let output = cells.take::<Option<String>>()?;
    let output = output.and_then(|text| read_output(&text, None).ok());
    let of_output = output.as_ref().map(payloads).unwrap_or_default();
    Ok((cells.id, image.into_iter().chain(of_output).collect()))
}

/// Reads a record with all its [`columns`].
pub(super) fn record(row: &Row<'_>) -> Done<Record> {
    let mut cells = Cells::of(row)?;
    Ok(Record {
        id: cells.id,
        kind: cells.read(kind_of)?,
        owner: cells.take()?,
        request_id: cells.take()?,
        plugin: cells.read(|name: String| PluginName::parse(&name).ok())?,
        mime_type: cells.take()?,
        image: Image {
            sha256: cells.digest()?,
            bytes: cells.read(|size: i64| u64::try_from(size).ok())?,
        },
        priority: cells.read(Priority::of_number)?,
        status: cells.read(Status::of_number)?,
        attempt: cells.take()?,
        max_attempts: cells.take()?,
        fence: cells.take()?,
        host: cells.take::<Option<[u8; 16]>>()?.map(Uuid::from_bytes),
        leased_until: cells.time()?,
        not_before: cells.read(DateTime::from_timestamp_millis)?,
        deadline: cells.deadline()?,
        cancel_asked: cells.take()?,
        created_at: cells.read(DateTime::from_timestamp_millis)?,
        started_at: cells.time()?,
        finished_at: cells.time()?,
        generation: cells.take()?,
        progress: cells.read(|share: f64| Some(share as f32))?,
        callback: cells.callback()?,
        outcome: cells.outcome()?,
        options: cells.take()?,
        log: cells.json()?,
    })
}

fn kind_of(number: i64) -> Option<Kind> {
    let mut all = [Kind::Submitted, Kind::Analysis].into_iter();
    all.find(|kind| kind_number(*kind) == number)
}

// A row that is read from its first column to its last.
struct Cells<'r> {
    row: &'r Row<'r>,
    id: Uuid,
    next: usize,
}

impl<'r> Cells<'r> {
    fn of(row: &'r Row<'r>) -> Done<Self> {
        let id = row.get(0).map(Uuid::from_bytes);
        let id = id.map_err(|error| StoreError::Corrupt(format!("a job's id: {error}")))?;
        Ok(Self { row, id, next: 1 })
    }

    fn take<T: FromSql>(&mut self) -> Done<T> {
        let index = self.next;
        self.next += 1;
        let value = self.row.get(index);
        value.map_err(|error| self.corrupt(index, &error.to_string()).into())
    }

    fn read<T: FromSql, U>(&mut self, read: impl FnOnce(T) -> Option<U>) -> Done<U> {
        let value = read(self.take()?);
        value.ok_or_else(|| self.corrupt(self.next - 1, "it cannot be").into())
    }

    fn read_some<T: FromSql, U>(&mut self, read: impl FnOnce(T) -> Option<U>) -> Done<Option<U>> {
        self.read(|value: Option<T>| match value {
            Some(value) => read(value).map(Some),
            None => Some(None),
        })
    }

    fn digest(&mut self) -> Done<Option<Digest>> {
        self.read_some(|bytes: [u8; 32]| Some(Digest::new(bytes)))
    }

    fn time(&mut self) -> Done<Option<Time>> {
        self.read_some(DateTime::from_timestamp_millis)
    }

    fn deadline(&mut self) -> Done<Option<Duration>> {
        self.read_some(|length: i64| Some(Duration::from_millis(u64::try_from(length).ok()?)))
    }

    fn json(&mut self) -> Done<Option<Box<RawValue>>> {
        self.read_some(|text: String| RawValue::from_string(text).ok())
    }

    fn callback(&mut self) -> Done<Option<Callback>> {
        let url: Option<String> = self.take()?;
        let attempts = self.take()?;
        let due = self.time()?;
        let delivered_at = self.time()?;
        let error = self.take()?;
        Ok(url.map(|url| Callback {
            url,
            attempts,
            due,
            delivered_at,
            error,
        }))
    }

    fn outcome(&mut self) -> Done<Option<StoredOutcome>> {
        let output: Option<String> = self.take()?;
        let at_output = self.next - 1;
        let error = self.json()?;
        let internal = self.json()?;
        let inline = self.take()?;
        match (output, error, internal) {
            (Some(text), None, None) => match read_output(&text, inline) {
                Ok(output) => Ok(Some(Ok(output))),
                Err(reason) => Err(self.corrupt(at_output, &reason).into()),
            },
            (None, Some(error), Some(internal)) => Ok(Some(Err(StoredError { error, internal }))),
            (None, None, None) => Ok(None),
            _ => Err(self.corrupt(at_output, "it has two outcomes").into()),
        }
    }

    fn corrupt(&self, index: usize, reason: &str) -> StoreError {
        let column = self.row.as_ref().column_name(index).unwrap_or("unknown");
        StoreError::Corrupt(format!("`{column}` of job {}: {reason}", self.id))
    }
}
