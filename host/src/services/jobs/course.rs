//! What happens to one job on its way, told to whoever follows it. Knows no HTTP.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One thing that happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Its place among all of the job, from 1; later ones are greater.
    pub id: u64,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// What happened.
    pub kind: JobEventKind,
    /// The facts: `fraction` of progress, `level` and `message` of a line, `attempt`, `status`, `code` and so on.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEventKind {
    /// An attempt began: `attempt`, `generation`.
    Started,
    /// The plugin told how much is done: `fraction`.
    Progress,
    /// The plugin wrote a line to the log: `level`, `message`.
    Log,
    /// An attempt came to nothing, and there will be another: `attempt`, `code`, `message`, `not_before`.
    Retrying,
    /// The job is over: `status`, and `code` where it has an error. The last of a job.
    Ended,
}
