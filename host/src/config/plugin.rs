//! How one plugin is treated. Knows nothing of files or of other plugins.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::units::{ByteSize, Span};

/// The settings of one plugin, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// `lane`
    pub lane: LaneKind,
    /// `deadline`
    pub deadline: Span,
    /// `concurrency`
    pub concurrency: usize,
    /// `queue`
    pub queue: usize,
    /// `inline`
    pub inline: bool,
    /// `required`
    pub required: bool,
    /// `settings`
    pub settings: Arc<Value>,
    /// `max_output`
    pub max_output: ByteSize,
    /// `check_output`
    pub check_output: bool,
    /// `memory`
    pub memory: ByteSize,
    /// `open_files`
    pub open_files: u64,
    /// `file_size`
    pub file_size: ByteSize,
    /// `tasks`
    pub tasks: u64,
    /// `threads`
    pub threads: usize,
    /// `warm`
    pub warm: usize,
    /// `startup`
    pub startup: Span,
    /// `idle`
    pub idle: Span,
    /// `recycle`
    pub recycle: u64,
    /// `grace`
    pub grace: Span,
    /// `canary`
    pub canary: u64,
    /// `canary_window`
    pub canary_window: Span,
    /// `network`
    pub network: bool,
    /// `read`
    pub read: Vec<PathBuf>,
    /// `write`
    pub write: Vec<PathBuf>,
    /// `env`
    pub env: BTreeMap<String, String>,
}

impl Default for PluginConfig {
    fn default() -> Self {
        Self {
            lane: LaneKind::default(),
            deadline: Span::seconds(30),
            concurrency: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queue: 64,
            inline: false,
            required: false,
            settings: Arc::new(Value::Object(Map::new())),
            max_output: ByteSize::mib(16),
            check_output: true,
            memory: ByteSize::mib(512),
            open_files: 256,
            file_size: ByteSize::mib(64),
            tasks: 256,
            threads: 1,
            warm: 0,
            startup: Span::seconds(30),
            idle: Span::seconds(60),
            recycle: 10_000,
            grace: Span::millis(100),
            canary: 0,
            canary_window: Span::seconds(60),
            network: false,
            read: Vec::new(),
            write: Vec::new(),
            env: BTreeMap::new(),
        }
    }
}

/// Where a plugin's code runs. Default: `process`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "kebab-case")]
#[schemars(!try_from)]
pub enum LaneKind {
    /// In processes of its own, which it cannot take the host down from.
    #[default]
    Process,
    /// In the host's own process: for trusted plugins.
    InProcess,
}

impl LaneKind {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::InProcess => "in-process",
        }
    }
}

impl TryFrom<String> for LaneKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "in-process" => Ok(Self::InProcess),
            "process" => Ok(Self::Process),
            _ => Err(format!(
                "no lane is called `{}`: there are `process` and `in-process`",
                text.escape_debug()
            )),
        }
    }
}
