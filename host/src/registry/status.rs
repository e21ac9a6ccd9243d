//! What the registry tells of a plugin, in the fields of the contract.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::latency::Percentiles;
use super::metrics::Snapshot;
use crate::envelope::Body;
use crate::names::PluginName;

/// Where a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Lifecycle {
    /// Its file was checked; it is opened with its first call.
    Loading,
    /// It serves.
    Ready,
    /// It takes no new calls, and ends with those that it has.
    Draining,
    /// An operator has taken it out of service.
    Disabled,
    /// It can carry out no call until what holds it up ends.
    Quarantined,
    /// It is not served.
    Rejected,
}

impl Lifecycle {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "LOADING",
            Self::Ready => "READY",
            Self::Draining => "DRAINING",
            Self::Disabled => "DISABLED",
            Self::Quarantined => "QUARANTINED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// All that there is to know of a plugin.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's")]
pub struct PluginStatus {
    pub name: PluginName,
    pub version: String,
    pub description: String,
    pub file: String,
    pub generation: String,
    pub lane: &'static str,
    pub lifecycle: Lifecycle,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why its file, as it is now, is not served: an earlier content of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_invalid: Option<String>,
    pub accepts: Vec<String>,
    pub thread_safe: bool,
    pub required: bool,
    #[serde(flatten)]
    pub calls: CallStatus,
    pub in_flight: usize,
    pub queued: usize,
    pub forced_kills: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<Value>,
    pub generations: Vec<GenerationStatus>,
    pub options_schema: Option<Value>,
    pub output_schema: Option<Value>,
}

/// What there is to know of one build of a plugin.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's")]
pub struct GenerationStatus {
    pub generation: String,
    pub version: String,
    pub file: String,
    pub lifecycle: Lifecycle,
    /// From when on it has had calls.
    #[serde(serialize_with = "timestamp")]
    pub since: Option<DateTime<Utc>>,
    /// Of a hundred calls, how many it gets, where that is not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<u8>,
    pub in_flight: usize,
    pub success_count: u64,
    pub error_count: u64,
    pub crashes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a plugin's calls have ended.
#[derive(Clone, Debug, Serialize)]
pub struct CallStatus {
    pub state: &'static str,
    pub success_count: u64,
    pub error_count: u64,
    pub crashes: u64,
    pub last_execution_time_ms: Option<f64>,
    pub avg_execution_time_ms: Option<f64>,
    #[serde(serialize_with = "timestamp")]
    pub last_used: Option<DateTime<Utc>>,
    pub latency_ms: Option<LatencyMs>,
    pub last_error: Option<Arc<Body>>,
}

/// Latencies of the recent window, in milliseconds with microsecond precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's")]
pub struct LatencyMs {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p999: f64,
    pub max: f64,
}

/// A file that is not served.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedStatus {
    /// The file's name in the folder.
    pub file: String,
    /// The plugin in it, where that much could be read.
    pub name: Option<PluginName>,
    /// Always `REJECTED`.
    pub lifecycle: Lifecycle,
    /// What was found, what was expected, what to do.
    pub reason: String,
}

impl RefusedStatus {
    /// Whether the file is the plugin of that name: by what it says or, where that could not be
    /// read, by how cargo names such files.
    pub(super) fn may_be(&self, name: &str) -> bool {
        if let Some(said) = &self.name {
            return said.as_str() == name;
        }
        let stem = self
            .file
            .rsplit_once('.')
            .map_or(&*self.file, |(stem, _)| stem);
        let stem = stem
            .strip_prefix(std::env::consts::DLL_PREFIX)
            .unwrap_or(stem);
        stem.replace('_', "-") == name
    }
}

impl From<Snapshot> for CallStatus {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            state: snapshot.state,
            success_count: snapshot.successes,
            error_count: snapshot.errors,
            crashes: snapshot.crashes,
            last_execution_time_ms: snapshot.last.map(milliseconds),
            avg_execution_time_ms: snapshot.average.map(milliseconds),
            last_used: snapshot.last_used,
            latency_ms: snapshot.latency.map(LatencyMs::from),
            last_error: snapshot.last_error,
        }
    }
}

impl From<Percentiles> for LatencyMs {
    fn from(found: Percentiles) -> Self {
        Self {
            p50: milliseconds(found.p50),
            p90: milliseconds(found.p90),
            p99: milliseconds(found.p99),
            p999: milliseconds(found.p999),
            max: milliseconds(found.max),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_nanos() as f64 / 1e3).round() / 1e3
}

fn timestamp<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_file_answers_for_its_plugin() {
        let refused = |file: &str, name: Option<&str>| RefusedStatus {
            file: file.to_owned(),
            name: name.map(|name| PluginName::parse(name).unwrap()),
            lifecycle: Lifecycle::Rejected,
            reason: String::new(),
        };
        assert!(refused("x.so", Some("palette")).may_be("palette"));
        assert!(!refused("palette.so", Some("qr")).may_be("palette"));
        let file = format!(
            "{}image_info{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        assert!(refused(&file, None).may_be("image-info"));
        assert!(!refused("other.so", None).may_be("image-info"));
    }
}
