//! How one plugin is treated. Knows nothing of files or of other plugins.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::units::{ByteSize, Span};

/// The settings of one plugin, resolved; cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// Where its code runs. Default: in-process, the only lane so far.
    pub lane: LaneKind,
    /// How long a call may take. Default: 30 s.
    pub deadline: Span,
    /// How many calls run at once. Default: the number of cores.
    pub concurrency: usize,
    /// How many calls may wait for their turn; 0 lets none wait. Default: 64.
    pub queue: usize,
    /// Whether calls run on the calling task, for plugins that answer in microseconds. Default: no.
    pub inline: bool,
    /// Whether the host is only ready when this plugin is. Default: no.
    pub required: bool,
    /// A JSON object that is handed to the plugin as it is. Default: `{}`.
    pub settings: Arc<Value>,
    /// The largest output of one call. Default: 16 MiB.
    pub max_output: ByteSize,
    /// Whether the output is held to the plugin's own schema. Default: yes.
    pub check_output: bool,
}

impl Default for PluginConfig {
    fn default() -> Self {
        Self {
            lane: LaneKind::InProcess,
            deadline: Span::seconds(30),
            concurrency: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queue: 64,
            inline: false,
            required: false,
            settings: Arc::new(Value::Object(Map::new())),
            max_output: ByteSize::mib(16),
            check_output: true,
        }
    }
}

/// Where a plugin's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LaneKind {
    /// In the host's own process: for trusted plugins.
    InProcess,
}

impl LaneKind {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
        }
    }
}

impl TryFrom<String> for LaneKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "in-process" => Ok(Self::InProcess),
            "process" => Err(
                "the lane `process` is not there yet: `in-process` is the only one so far"
                    .to_owned(),
            ),
            _ => Err(format!(
                "no lane is called `{}`: `in-process` is the only one so far",
                text.escape_debug()
            )),
        }
    }
}
