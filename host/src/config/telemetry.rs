//! Where traces go. Sends nothing.

use serde::Deserialize;

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// `telemetry.otlp`
    pub otlp: Option<Collector>,
    /// `telemetry.sample`
    pub sample: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp: None,
            sample: 100,
        }
    }
}

/// The address of a collector: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Collector(String);

impl Collector {
    /// The address, without a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Collector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bare = text.trim_end_matches('/');
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| bare.strip_prefix(scheme));
        match host {
            Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => {
                Ok(Self(bare.to_owned()))
            }
            _ => Err(format!(
                "`{}` is no collector: write \"http://127.0.0.1:4318\"",
                text.escape_debug()
            )),
        }
    }
}
