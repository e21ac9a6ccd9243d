//! A job as a row: which columns there are, what stands in each, and how it is read back. Knows no statement.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use super::failure::Done;
use crate::jobs::record::{
    Callback, Image, Kind, Priority, Record, Status, StoredAttachment, StoredError, StoredOutcome,
    StoredOutput, StoredResult, Time,
};
use crate::jobs::store::{Idempotency, StoreError};
use crate::names::{Digest, PluginName};

/// All columns of a record, in the order in which [`record`] reads them and [`Cells`] writes them.
macro_rules! columns {
    () => {
        "id, kind, owner, request_id, plugin, mime_type, image_sha256, image_bytes, priority, status, \
         attempt, max_attempts, fence, host, leased_until, not_before, deadline, cancel_asked, created_at, \
         started_at, finished_at, generation, progress, callback_url, callback_attempts, callback_due, \
         callback_delivered_at, callback_error, output, error, internal, result, options, log"
    };
}

/// The same without what lists leave out.
macro_rules! listed_columns {
    () => {
        "id, kind, owner, request_id, plugin, mime_type, image_sha256, image_bytes, priority, status, \
         attempt, max_attempts, fence, host, leased_until, not_before, deadline, cancel_asked, created_at, \
         started_at, finished_at, generation, progress, callback_url, callback_attempts, callback_due, \
         callback_delivered_at, callback_error, output, error, internal, NULL::BYTEA, NULL::TEXT, NULL::TEXT"
    };
}

pub(super) use {columns, listed_columns};

/// Parameters of a statement.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// The number of a kind; numbers stay as they are for ever.
pub(super) fn kind_number(kind: Kind) -> i16 {
    match kind {
        Kind::Submitted => 0,
        Kind::Analysis => 1,
    }
}

/// A moment as it is stored.
pub(super) fn millis(time: Time) -> i64 {
    time.timestamp_millis()
}

/// A moment as it was stored.
pub(super) fn moment(millis: i64) -> Option<Time> {
    DateTime::from_timestamp_millis(millis)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The server takes no NUL in a text, and nobody misses it.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
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

/// The payloads that an outcome needs.
pub(super) fn payloads(outcome: &StoredOutcome) -> Vec<Digest> {
    let Ok(output) = outcome else {
        return Vec::new();
    };
    let result = match &output.result {
        Some(StoredResult::Payload { sha256, .. }) => Some(*sha256),
        Some(StoredResult::Inline(_)) | None => None,
    };
    let attachments = output.attachments.iter().map(|it| it.sha256);
    result.into_iter().chain(attachments).collect()
}

/// All that is written of a new row.
pub(super) struct Cells<'a> {
    record: &'a Record,
    kind: i16,
    plugin: &'a str,
    owner: Option<String>,
    request_id: String,
    mime_type: String,
    image_sha256: Option<&'a [u8]>,
    image_bytes: i64,
    priority: i16,
    status: i16,
    attempt: i64,
    max_attempts: i64,
    leased_until: Option<i64>,
    not_before: i64,
    deadline: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    callback_url: Option<String>,
    callback_attempts: i64,
    callback_due: Option<i64>,
    callback_delivered_at: Option<i64>,
    callback_error: Option<String>,
    outcome: OutcomeCells<'a>,
    log: Option<&'a str>,
    idempotency_key: Option<String>,
    idempotency_digest: Option<&'a [u8]>,
}

impl<'a> Cells<'a> {
    pub(super) fn of(record: &'a Record, idempotency: Option<&'a Idempotency>) -> Self {
        let callback = record.callback.as_ref();
        let deadline = record.deadline.map(|it| it.as_millis());
        Self {
            record,
            kind: kind_number(record.kind),
            plugin: record.plugin.as_str(),
            owner: record.owner.as_deref().map(plain),
            request_id: plain(&record.request_id),
            mime_type: plain(&record.mime_type),
            image_sha256: record.image.sha256.as_ref().map(|it| &it.bytes()[..]),
            image_bytes: number(record.image.bytes),
            priority: record.priority.number(),
            status: record.status.number(),
            attempt: record.attempt.into(),
            max_attempts: record.max_attempts.into(),
            leased_until: record.leased_until.map(millis),
            not_before: millis(record.not_before),
            deadline: deadline.map(|it| i64::try_from(it).unwrap_or(i64::MAX)),
            created_at: millis(record.created_at),
            started_at: record.started_at.map(millis),
            finished_at: record.finished_at.map(millis),
            callback_url: callback.map(|it| plain(&it.url)),
            callback_attempts: callback.map_or(0, |it| it.attempts.into()),
            callback_due: callback.and_then(|it| it.due).map(millis),
            callback_delivered_at: callback.and_then(|it| it.delivered_at).map(millis),
            callback_error: callback.and_then(|it| it.error.as_deref()).map(plain),
            outcome: record
                .outcome
                .as_ref()
                .map(OutcomeCells::of)
                .unwrap_or_default(),
            log: record.log.as_deref().map(RawValue::get),
            idempotency_key: idempotency.map(|it| plain(&it.key)),
            idempotency_digest: idempotency.map(|it| &it.digest.bytes()[..]),
        }
    }

    /// In the order of the columns, and what is known of its idempotency.
    pub(super) fn params(&self) -> [Param<'_>; 36] {
        [
            &self.record.id,
            &self.kind,
            &self.owner,
            &self.request_id,
            &self.plugin,
            &self.mime_type,
            &self.image_sha256,
            &self.image_bytes,
            &self.priority,
            &self.status,
            &self.attempt,
            &self.max_attempts,
            &self.record.fence,
            &self.record.host,
            &self.leased_until,
            &self.not_before,
            &self.deadline,
            &self.record.cancel_asked,
            &self.created_at,
            &self.started_at,
            &self.finished_at,
            &self.record.generation,
            &self.record.progress,
            &self.callback_url,
            &self.callback_attempts,
            &self.callback_due,
            &self.callback_delivered_at,
            &self.callback_error,
            &self.outcome.output,
            &self.outcome.error,
            &self.outcome.internal,
            &self.outcome.result,
            &self.record.options,
            &self.log,
            &self.idempotency_key,
            &self.idempotency_digest,
        ]
    }
}

// What of an output stands in its text: all but a result in the row itself.
#[derive(Serialize, Deserialize)]
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
    let attachments = output.attachments.iter().map(|it| AttachmentText {
        name: it.name.clone(),
        mime_type: it.mime_type.clone(),
        bytes: it.bytes,
        sha256: it.sha256.to_string(),
    });
    let text = OutputText {
        result,
        attachments: attachments.collect(),
    };
    serde_json::to_string(&text).expect("texts and numbers are always JSON")
}

fn read_output(text: &str, inline: Option<Vec<u8>>) -> Result<StoredOutput, String> {
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
    let text: OutputText = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let attachments = text.attachments.into_iter().map(|it| {
        Ok(StoredAttachment {
            sha256: digest(&it.sha256)?,
            name: it.name,
            mime_type: it.mime_type,
            bytes: it.bytes,
        })
    });
    let payload = |it: PayloadText| {
        Ok::<_, String>(StoredResult::Payload {
            sha256: digest(&it.sha256)?,
            bytes: it.bytes,
        })
    };
    let inline = inline.map(|bytes| StoredResult::Inline(Bytes::from(bytes)));
    Ok(StoredOutput {
        attachments: attachments.collect::<Result<_, String>>()?,
        result: text.result.map(payload).transpose()?.or(inline),
    })
}

/// Reads records with all their [`columns`].
pub(super) fn records(rows: &[Row]) -> Done<Vec<Record>> {
    rows.iter().map(record).collect()
}

/// Reads a record with all its [`columns`]; the row may have more behind them.
pub(super) fn record(row: &Row) -> Done<Record> {
    let mut row = Reader::of(row)?;
    Ok(Record {
        id: row.id,
        kind: row.read(kind_of)?,
        owner: row.take()?,
        request_id: row.take()?,
        plugin: row.read(|name: String| PluginName::parse(&name).ok())?,
        mime_type: row.take()?,
        image: Image {
            sha256: row.read_some(digest)?,
            bytes: row.read(|size: i64| u64::try_from(size).ok())?,
        },
        priority: row.read(|it: i16| Priority::of_number(it.into()))?,
        status: row.read(|it: i16| Status::of_number(it.into()))?,
        attempt: row.count()?,
        max_attempts: row.count()?,
        fence: row.take()?,
        host: row.take()?,
        leased_until: row.read_some(moment)?,
        not_before: row.read(moment)?,
        deadline: row.read_some(|it: i64| Some(Duration::from_millis(u64::try_from(it).ok()?)))?,
        cancel_asked: row.take()?,
        created_at: row.read(moment)?,
        started_at: row.read_some(moment)?,
        finished_at: row.read_some(moment)?,
        generation: row.take()?,
        progress: row.take()?,
        callback: row.callback()?,
        outcome: row.outcome()?,
        options: row.take()?,
        log: row.json()?,
    })
}

/// Reads a digest.
pub(super) fn digest(bytes: Vec<u8>) -> Option<Digest> {
    Some(Digest::new(bytes.try_into().ok()?))
}

fn kind_of(number: i16) -> Option<Kind> {
    let mut all = [Kind::Submitted, Kind::Analysis].into_iter();
    all.find(|kind| kind_number(*kind) == number)
}

// A row that is read from its first column to its last.
struct Reader<'r> {
    row: &'r Row,
    id: Uuid,
    next: usize,
}

impl<'r> Reader<'r> {
    fn of(row: &'r Row) -> Done<Self> {
        let id = row.try_get(0);
        let id = id.map_err(|error| StoreError::Corrupt(format!("a job's id: {error}")))?;
        Ok(Self { row, id, next: 1 })
    }

    fn take<T: FromSql<'r>>(&mut self) -> Done<T> {
        let index = self.next;
        self.next += 1;
        let value = self.row.try_get(index);
        value.map_err(|error| self.corrupt(index, &error.to_string()).into())
    }

    fn read<T: FromSql<'r>, U>(&mut self, read: impl FnOnce(T) -> Option<U>) -> Done<U> {
        let value = read(self.take()?);
        value.ok_or_else(|| self.corrupt(self.next - 1, "it cannot be").into())
    }

    fn read_some<T: FromSql<'r>, U>(
        &mut self,
        read: impl FnOnce(T) -> Option<U>,
    ) -> Done<Option<U>> {
        self.read(|value: Option<T>| match value {
            Some(value) => read(value).map(Some),
            None => Some(None),
        })
    }

    fn count(&mut self) -> Done<u32> {
        self.read(|count: i64| u32::try_from(count).ok())
    }

    fn json(&mut self) -> Done<Option<Box<RawValue>>> {
        self.read_some(|text: String| RawValue::from_string(text).ok())
    }

    fn callback(&mut self) -> Done<Option<Callback>> {
        let url: Option<String> = self.take()?;
        let attempts = self.count()?;
        let due = self.read_some(moment)?;
        let delivered_at = self.read_some(moment)?;
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
        let at = self.next;
        let output: Option<String> = self.take()?;
        let error = self.json()?;
        let internal = self.json()?;
        let inline = self.take()?;
        match (output, error, internal) {
            (Some(text), None, None) => match read_output(&text, inline) {
                Ok(output) => Ok(Some(Ok(output))),
                Err(reason) => Err(self.corrupt(at, &reason).into()),
            },
            (None, Some(error), Some(internal)) => Ok(Some(Err(StoredError { error, internal }))),
            (None, None, None) => Ok(None),
            _ => Err(self.corrupt(at, "there are two outcomes").into()),
        }
    }

    fn corrupt(&self, index: usize, reason: &str) -> StoreError {
        let column = self.row.columns().get(index);
        let column = column.map_or("a missing column", |it| it.name());
        StoreError::Corrupt(format!("`{column}` of job {}: {reason}", self.id))
    }
}
