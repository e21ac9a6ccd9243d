//! The one form of every error. Made from a [`CallError`] here and nowhere else.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{CallError, Code, Traceback};
use crate::names::PluginName;

/// The longest message that leaves the host, in bytes.
const MAX_MESSAGE: usize = 1024;
/// The largest details that leave the host, in bytes of JSON.
const MAX_DETAILS: usize = 16 << 10;

/// An error as a caller, the log and the job store see it.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope {
    /// What a caller sees.
    pub error: Body,
    /// What an operator sees besides.
    #[serde(rename = "_internal")]
    pub internal: Internal,
    #[serde(skip)]
    code: Code,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// The part of an envelope that callers see.
#[derive(Clone, Debug, Serialize)]
pub struct Body {
    /// `ValidationError`, `PluginError` or `ExecutionError`.
    #[serde(rename = "type")]
    pub error_type: &'static str,
    /// What went wrong, for people; at most 1 KiB.
    pub message: String,
    /// `code`, and the facts.
    pub details: Map<String, Value>,
    /// The plugin that was called, if it came to that.
    pub plugin: Option<PluginName>,
    /// When it happened.
    #[serde(serialize_with = "timestamp")]
    pub timestamp: DateTime<Utc>,
}

/// The part of an envelope that only operators see.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Internal {
    /// Backtrace or chain of causes; empty where there is none.
    pub traceback: Traceback,
}

impl Envelope {
    /// The envelope of `error`, which happened now to a call of `plugin`.
    pub fn new(error: &CallError, plugin: Option<&PluginName>) -> Self {
        let code = error.code();
        let (word, error_type) = code.words();
        let mut details = bounded(error.facts());
        // Last, so that a plugin's own fact of that name cannot hide it.
        details.insert("code".to_owned(), word.into());
        let body = Body {
            error_type: error_type.as_str(),
            message: shortened(error.to_string()),
            details,
            plugin: plugin.cloned(),
            timestamp: Utc::now(),
        };
        let traceback = error.traceback().cloned().unwrap_or_default();
        Self {
            error: body,
            internal: Internal { traceback },
            code,
            retry_after: error.retry_after(),
        }
    }

    /// Its place in the closed list.
    pub fn code(&self) -> Code {
        self.code
    }

    /// About as many bytes as it holds.
    pub fn weight(&self) -> usize {
        let details = serde_json::to_string(&self.error.details).map_or(0, |text| text.len());
        size_of::<Self>() + self.error.message.len() + details
    }

    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// A plugin's own facts may be of any size.
fn bounded(details: Map<String, Value>) -> Map<String, Value> {
    let size = serde_json::to_string(&details).map_or(0, |text| text.len());
    if size <= MAX_DETAILS {
        return details;
    }
    Map::from_iter([("truncated".to_owned(), true.into())])
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE - '…'.len_utf8());
        message.truncate(end);
        message.push('…');
    }
    message
}

fn timestamp<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed(message: &str, details: Value) -> CallError {
        let details = details.as_object().cloned().unwrap_or_default();
        CallError::Failed {
            message: message.to_owned(),
            details,
        }
    }

    #[test]
    fn an_envelope_has_the_form_of_the_contract() {
        let plugin = PluginName::parse("fake").unwrap();
        let envelope = Envelope::new(&failed("boom", json!({"n": 1})), Some(&plugin));
        let json = serde_json::to_value(&envelope).unwrap();
        assert_eq!(json["error"]["type"], "ExecutionError");
        assert_eq!(json["error"]["message"], "boom");
        assert_eq!(json["error"]["details"], json!({"code": "failed", "n": 1}));
        assert_eq!(json["error"]["plugin"], "fake");
        assert!(json["error"]["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(json["_internal"]["traceback"].is_string());
    }

    #[test]
    fn a_plugin_cannot_forge_the_code() {
        let envelope = Envelope::new(&failed("x", json!({"code": "internal"})), None);
        assert_eq!(envelope.error.details["code"], "failed");
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let envelope = Envelope::new(&failed(&"é".repeat(2000), json!({})), None);
        assert!(envelope.error.message.len() <= MAX_MESSAGE);
        assert!(envelope.error.message.ends_with('…'));
    }

    #[test]
    fn a_panic_keeps_its_backtrace_inside() {
        let error = CallError::Panicked {
            message: "kaboom".to_owned(),
            location: "src/lib.rs:14:9".to_owned(),
            traceback: "0: plugin::run".to_owned().into(),
        };
        let json = serde_json::to_value(Envelope::new(&error, None)).unwrap();
        assert_eq!(
            json["error"]["details"],
            json!({"code": "panic", "location": "src/lib.rs:14:9"})
        );
        assert_eq!(json["_internal"]["traceback"], "0: plugin::run");
    }
}
