//! How one plugin is treated. Knows nothing of files or of other plugins.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::units::{ByteSize, Span};

/// The settings of one plugin, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// Where its code runs. Default: see [`LaneKind`].
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
    /// The most memory of one worker. Default: 512 MiB.
    pub memory: ByteSize,
    /// The most files that one worker has open. Default: 256.
    pub open_files: u64,
    /// The largest file that a worker may write. Default: 64 MiB.
    pub file_size: ByteSize,
    /// The most threads and processes of all its workers together. Default: 256.
    pub tasks: u64,
    /// How many calls run at a time in one worker. With more than one, a call that crashes takes the
    /// others along: for thread-safe plugins only. Default: 1.
    pub threads: usize,
    /// How many workers are kept even when none is needed. Default: 0.
    pub warm: usize,
    /// How long a plugin may take to load and to make an instance. Default: 30 s.
    pub startup: Span,
    /// After how long without a call a worker ends. Default: 60 s.
    pub idle: Span,
    /// After how many calls a worker is replaced. Default: 10,000.
    pub recycle: u64,
    /// How long code that was told to stop has before it is ended. Default: 100 ms.
    pub grace: Span,
    /// What share of the calls a new build gets at first, in percent; with 0 it takes over at once.
    /// Default: 0.
    pub canary: u64,
    /// How long a new build serves that share before it takes over. Default: 60 s.
    pub canary_window: Span,
    /// Whether it may use the network. Default: no.
    pub network: bool,
    /// Files and folders that it may read. Default: none.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read and write. Default: none.
    pub write: Vec<PathBuf>,
    /// The variables of the host's environment that it is handed, with their values. Default: none.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
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
