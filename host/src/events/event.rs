//! One event: what happened, to whom, and why, within bounds.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::id::EventId;
use super::kind::{Kind, Weight};
use crate::names::{Digest, PluginName};

/// The longest reason, in bytes.
const MAX_REASON: usize = 2 << 10;
/// The longest name of a file and the longest version, in bytes.
const MAX_NAME: usize = 512;
/// The largest details, in bytes of JSON.
const MAX_DETAILS: usize = 4 << 10;

/// Something that has happened. What it does not concern is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// The plugin that it happened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// The version that the plugin gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The generation, in its first 12 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Why, for people; at most 2 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Numbers and names beside; at most 4 KiB of JSON.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl Event {
    /// An event of this kind, of which nothing else is known yet.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            plugin: None,
            version: None,
            generation: None,
            file: None,
            reason: None,
            details: Map::new(),
        }
    }

    /// It happened to this plugin.
    #[must_use]
    pub fn plugin(mut self, name: &PluginName) -> Self {
        self.plugin = Some(name.clone());
        self
    }

    /// The plugin calls itself of this version.
    #[must_use]
    pub fn version(mut self, version: impl ToString) -> Self {
        self.version = Some(version.to_string());
        self
    }

    /// It is about this generation.
    #[must_use]
    pub fn generation(mut self, generation: Digest) -> Self {
        self.generation = Some(generation.short());
        self
    }

    /// It is about this file.
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Why it happened.
    #[must_use]
    pub fn reason(mut self, reason: impl ToString) -> Self {
        self.reason = Some(reason.to_string());
        self
    }

    /// One fact more.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The same within its bounds: much of what it says comes from plugins' files.
    pub(super) fn bounded(mut self) -> Self {
        self.version = self.version.map(|text| shortened(text, MAX_NAME));
        self.file = self.file.map(|text| shortened(text, MAX_NAME));
        self.reason = self.reason.map(|text| shortened(text, MAX_REASON));
        if self.details_text().len() > MAX_DETAILS {
            self.details = Map::from_iter([("truncated".to_owned(), true.into())]);
        }
        self
    }

    fn details_text(&self) -> String {
        serde_json::to_string(&self.details).unwrap_or_default()
    }
}

/// An event as it stands in the log.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Its place among all.
    #[serde(serialize_with = "as_text")]
    pub id: EventId,
    /// When it was told.
    #[serde(serialize_with = "timestamp")]
    pub time: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Told {
    /// About as many bytes as it holds.
    pub(super) fn weight(&self) -> usize {
        let Event {
            version,
            file,
            reason,
            ..
        } = &self.event;
        let texts = [version, file, reason].into_iter().flatten();
        // In memory, details are a few times as large as their text.
        let details = 4 * self.event.details_text().len();
        size_of::<Self>() + texts.map(String::len).sum::<usize>() + details
    }

    /// Its line of the log.
    pub(super) fn log(&self) {
        let Event {
            kind,
            plugin,
            version,
            generation,
            file,
            reason,
            details,
        } = &self.event;
        let (event, id) = (kind.as_str(), self.id.to_string());
        let plugin = plugin.as_ref().map(PluginName::as_str);
        let [version, generation, file, reason] =
            [version, generation, file, reason].map(Option::as_deref);
        let details = (!details.is_empty()).then(|| self.event.details_text());
        let sentence = kind.sentence();
        // The level of a line is part of where it stands in the code.
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: "bulkhead::events",
                    event, id, plugin, version, generation, file, reason, details, "{sentence}"
                )
            };
        }
        match kind.weight() {
            Weight::Notable => line!(info),
            Weight::Worrying => line!(warn),
        }
    }
}

fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

fn as_text<S: Serializer>(id: &EventId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn timestamp<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
