//! A job as a store keeps it: all fields of the contract, and what only the host needs. Knows no store.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::names::{Digest, PluginName};

/// A moment, in whole milliseconds wherever it was stored.
pub type Time = DateTime<Utc>;

/// One job as it stands.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id, a UUIDv7: ids order jobs by their time of creation.
    pub id: Uuid,
    /// Whether somebody waited for it from the first.
    pub kind: Kind,
    /// The token that it was submitted with, by its name; `None` where there are no tokens.
    pub owner: Option<String>,
    /// The request that made it.
    pub request_id: String,
    /// Whom it calls.
    pub plugin: PluginName,
    /// The type of its image.
    pub mime_type: String,
    /// The options, a JSON text; `None` for none.
    pub options: Option<String>,
    /// Its image, without the bytes.
    pub image: Image,
    /// Which of the jobs that wait comes first.
    pub priority: Priority,
    /// How far it has come.
    pub status: Status,
    /// How often it was begun.
    pub attempt: u32,
    /// How often it may be.
    pub max_attempts: u32,
    /// Raised by every claim: what was begun under an earlier one counts no more.
    pub fence: i64,
    /// The host that runs it, while one does.
    pub host: Option<Uuid>,
    /// Until when nobody else may run it, while it runs.
    pub leased_until: Option<Time>,
    /// Not to be run before: as its submitter wants, or after an attempt that failed.
    pub not_before: Time,
    /// How long each attempt may take; the plugin's own deadline counts besides.
    pub deadline: Option<Duration>,
    /// Whether somebody wants it to end, while it runs.
    pub cancel_asked: bool,
    /// When it was made.
    pub created_at: Time,
    /// When the latest attempt began.
    pub started_at: Option<Time>,
    /// When it was over.
    pub finished_at: Option<Time>,
    /// The build that ran it, in its first 12 hex digits.
    pub generation: Option<String>,
    /// The share that is done, 0 to 1.
    pub progress: f32,
    /// What came of it: always where it has ended, else of the latest attempt that failed.
    pub outcome: Option<StoredOutcome>,
    /// What happened on its way: a JSON array, as whoever ran it has written it.
    pub log: Option<Box<RawValue>>,
    /// Whom to tell of its end.
    pub callback: Option<Callback>,
}

/// Whether somebody waited for a job from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was submitted, to be run when there is room.
    Submitted,
    /// It was an analysis that somebody waited for, kept for a later look.
    Analysis,
}

/// The image of a job, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it is found by; `None` for an analysis, whose image is not kept.
    pub sha256: Option<Digest>,
    /// Its size.
    pub bytes: u64,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It waits.
    Pending,
    /// A host runs it.
    Running,
    /// It has a result.
    Success,
    /// It has an error.
    Failed,
    /// Somebody wanted it to end.
    Cancelled,
}

impl Status {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing will come after it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Success | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Its number in a store; numbers stay as they are for ever.
    pub fn number(self) -> i16 {
        match self {
            Self::Pending => 0,
            Self::Running => 1,
            Self::Success => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
        }
    }

    /// The status with this number.
    pub fn of_number(number: i64) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|status| i64::from(status.number()) == number)
    }
}

/// Which of the jobs that wait comes first; those of one priority in the order of their submission.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// As most.
    #[default]
    Normal,
    /// When there is nothing else.
    Low,
}

impl Priority {
    /// All of them, the first to be served first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Its number in a store, the least first; numbers stay as they are for ever.
    pub fn number(self) -> i16 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    /// The priority with this number.
    pub fn of_number(number: i64) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|priority| i64::from(priority.number()) == number)
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|priority| priority.as_str() == word)
            .ok_or_else(|| {
                let found: String = word.escape_debug().take(64).collect();
                format!("`{found}` is no priority: there are high, normal and low")
            })
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of a job.
pub type StoredOutcome = Result<StoredOutput, StoredError>;

/// A plugin's answer as it is kept.
#[derive(Clone, Debug)]
pub struct StoredOutput {
    /// The JSON object; `None` in lists, which leave it out.
    pub result: Option<StoredResult>,
    /// What lies beside it.
    pub attachments: Vec<StoredAttachment>,
}

impl StoredOutput {
    /// What the attachment at `index` is asked for by: its name, or `~INDEX` where another one before it has the same,
    /// or no path can end in it.
    ///
    /// # Panics
    /// Where there is none at `index`.
    pub fn attachment_word(&self, index: usize) -> String {
        let name = &self.attachments[index].name;
        let is_first = self.attachments.iter().position(|it| it.name == *name) == Some(index);
        // Empty, `.` and `..` are no segments of their own.
        if is_first && name.bytes().any(|byte| byte != b'.') {
            name.clone()
        } else {
            format!("~{index}")
        }
    }

    /// Which attachment is asked for by this word.
    pub fn find_attachment(&self, word: &str) -> Option<usize> {
        (0..self.attachments.len()).find(|index| self.attachment_word(*index) == word)
    }
}

/// A result as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredResult {
    /// In the record itself.
    Inline(Bytes),
    /// Among the payloads.
    Payload {
        /// What it is found by.
        sha256: Digest,
        /// Its size.
        bytes: u64,
    },
}

/// An attachment without its bytes, which are among the payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttachment {
    /// A file name.
    pub name: String,
    /// The MIME type.
    pub mime_type: String,
    /// Its size.
    pub bytes: u64,
    /// What it is found by.
    pub sha256: Digest,
}

/// An envelope as it is kept.
#[derive(Clone, Debug)]
pub struct StoredError {
    /// Its `error`, a JSON object.
    pub error: Box<RawValue>,
    /// Its `_internal`, a JSON object.
    pub internal: Box<RawValue>,
}

/// Whom to tell of a job's end, and how far that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Where to.
    pub url: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; `None` before the job has ended, and once it was told or given up.
    pub due: Option<Time>,
    /// When it was told.
    pub delivered_at: Option<Time>,
    /// What went wrong the last time, if it did.
    pub error: Option<String>,
}

/// The right to run a job: the fence that a claim has raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job: Uuid,
    /// Counts only as long as the record has the same.
    pub fence: i64,
}

impl Record {
    /// The right to run it, for who has just claimed it.
    pub fn lease(&self) -> Lease {
        Lease {
            job: self.id,
            fence: self.fence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attachment_can_be_asked_for() {
        let names = ["mask.png", "", "mask.png", "..", "a/b"];
        let attachments = names.map(|name| StoredAttachment {
            name: name.to_owned(),
            mime_type: String::new(),
            bytes: 0,
            sha256: Digest::new([0; 32]),
        });
        let output = StoredOutput {
            result: None,
            attachments: attachments.into(),
        };
        let words: Vec<_> = (0..names.len())
            .map(|it| output.attachment_word(it))
            .collect();
        assert_eq!(words, ["mask.png", "~1", "~2", "~3", "a/b"]);
        for (index, word) in words.iter().enumerate() {
            assert_eq!(output.find_attachment(word), Some(index));
        }
        assert_eq!(output.find_attachment("other"), None);
    }
}
