//! What one source says: the shape of the file, with every key optional. Knows no source and no default.
//!
//! What is written here of a key is what people read of it: in the schema, in the reference and in the example.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::grants::{AbsolutePath, VariableName};
use super::scalar::{Address, Level, Name, Settings};
use super::units::{ByteSize, Span};
use super::within::Within;
use super::{
    Collector, FileMode, HostPattern, LaneKind, LogFormat, Loopback, PayloadPlace, PlatformKind,
    Sandbox, Secret, StorePlace, UidRange,
};

const SECOND: u64 = 1_000;
const HOUR: u64 = 60 * 60 * SECOND;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// One source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Layer {
    /// How calls come in over the network.
    pub(super) server: ServerKeys,
    /// Who may use the host, and how much of it.
    pub(super) access: AccessKeys,
    /// Where plugins come from.
    pub(super) plugins: PluginsKeys,
    /// How single plugins are treated, by name: the keys of `[plugins.defaults]`, where they differ.
    pub(super) plugin: BTreeMap<Name, PluginKeys>,
    /// What holds for every worker.
    pub(super) workers: WorkersKeys,
    /// How jobs are kept, run again and forgotten.
    pub(super) jobs: JobsKeys,
    /// What is logged, and in which form.
    pub(super) log: LogKeys,
    /// Where traces go, and how many.
    pub(super) telemetry: TelemetryKeys,
}

/// `[server]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerKeys {
    /// Where to listen for HTTP: an address and a port; port 0 picks a free one. Anything but loopback needs
    /// tokens, or `insecure`.
    pub(super) listen: Option<Address>,
    /// A Unix socket to listen on besides; whoever may open it counts as loopback.
    #[schemars(example = "/run/bulkhead/bulkhead.sock")]
    pub(super) socket: Option<AbsolutePath>,
    /// The mode of that socket, as `chmod` takes it.
    pub(super) socket_mode: Option<FileMode>,
    /// Whether other machines may reach the host although there are no tokens.
    pub(super) insecure: Option<bool>,
    /// The names that requests may call this host by, besides addresses and `localhost`: `"plugins.example.com"`,
    /// `"*.example.com"`.
    pub(super) hosts: Option<Vec<HostPattern>>,
    /// What TLS is spoken with at `listen`: both keys or none. A reload reads both files again, and takes over other
    /// paths; whether TLS is spoken at all waits for a restart.
    pub(super) tls: TlsKeys,
    /// The most connections at a time; others wait to be accepted.
    pub(super) connections: Option<Within<u64, 1, 1_048_576>>,
    /// The most bytes of a request's head.
    pub(super) max_head: Option<Within<ByteSize, { 8 * KIB }, MIB>>,
    /// How long the head of a request may take, and a connection be idle.
    pub(super) header_timeout: Option<Within<Span, 100, { 300 * SECOND }>>,
    /// How long a body may take to arrive.
    pub(super) body_timeout: Option<Within<Span, 100, HOUR>>,
    /// How long a client may read nothing of its answer.
    pub(super) send_timeout: Option<Within<Span, 100, HOUR>>,
    /// Whether answers are compressed for clients that ask for it.
    pub(super) compression: Option<bool>,
    /// The largest body of a request; beyond it: 413.
    pub(super) max_body: Option<Within<ByteSize, 1, { 4 * GIB }>>,
    /// The most bytes of all requests at a time; beyond it: 429. Never less than two of the largest bodies.
    pub(super) max_in_flight: Option<Within<ByteSize, 1, TIB>>,
    /// The most pixels that a picture's header may claim; beyond it: 422.
    pub(super) max_pixels: Option<Within<u64, 1, 1_000_000_000_000>>,
    /// How long a stop waits for what runs; `"0s"` does not wait.
    pub(super) drain: Option<Within<Span, 0, DAY>>,
}

/// `[server.tls]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsKeys {
    /// The certificate and what vouches for it, in PEM.
    #[schemars(example = "/etc/bulkhead/certificate.pem")]
    pub(super) certificate: Option<AbsolutePath>,
    /// Its private key, in PEM.
    #[schemars(example = "/etc/bulkhead/key.pem")]
    pub(super) key: Option<AbsolutePath>,
}

/// `[access]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AccessKeys {
    /// The file with the digests of the tokens.
    #[schemars(example = "/var/lib/bulkhead/tokens.json")]
    pub(super) tokens: Option<AbsolutePath>,
    /// What is asked of those who come over loopback or the Unix socket.
    pub(super) loopback: Option<Loopback>,
    /// How many requests each token may make a second, where it has no rate of its own; 0: as many as it likes.
    pub(super) rate: Option<Within<u64, 0, 1_000_000>>,
    /// How many of these it may make at once.
    pub(super) burst: Option<Within<u64, 1, 1_000_000>>,
}

/// `[plugins]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginsKeys {
    /// The folder with the plugins; relative to the working directory.
    pub(super) dir: Option<PathBuf>,
    /// The plugin that the name `default` stands for, and requests that name none.
    pub(super) default: Option<Name>,
    /// How many plugins are opened at start; the others are with their first call.
    pub(super) preload: Option<Within<u64, 0, 100_000>>,
    /// Whether changes of the folder are taken in as they happen; else it is read at start and when asked.
    pub(super) watch: Option<bool>,
    /// How long a file must have stayed the same to be read.
    pub(super) settle: Option<Within<Span, 20, { 60 * SECOND }>>,
    /// How often the folder is read though nothing said that it has changed.
    pub(super) rescan: Option<Within<Span, 200, HOUR>>,
    /// How many good earlier builds of each plugin are kept on disk, to go back to.
    pub(super) keep: Option<Within<u64, 0, 100>>,
    /// How plugins are treated; what `[plugin.NAME]` says of one of them counts more.
    pub(super) defaults: PluginKeys,
}

/// `[plugins.defaults]` and `[plugin.NAME]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginKeys {
    /// Where the plugin's code runs.
    pub(super) lane: Option<LaneKind>,
    /// How long a call may take; a caller may ask for less with `X-Deadline-Ms`.
    pub(super) deadline: Option<Within<Span, 1, DAY>>,
    /// How many calls run at once.
    pub(super) concurrency: Option<Within<u64, 1, 1_024>>,
    /// How many calls may wait for their turn; beyond it: 429. 0 lets none wait.
    pub(super) queue: Option<Within<u64, 0, 100_000>>,
    /// Whether calls run on the calling task, for plugins that answer in microseconds; in the lane `in-process`
    /// only.
    pub(super) inline: Option<bool>,
    /// Whether the host is only ready when this plugin is.
    pub(super) required: Option<bool>,
    /// Handed to the plugin as it is.
    pub(super) settings: Option<Settings>,
    /// The largest output of one call.
    pub(super) max_output: Option<Within<ByteSize, 1, { 4 * GIB }>>,
    /// Whether the output is held to the plugin's own schema.
    pub(super) check_output: Option<bool>,
    /// The most memory of one worker: heap, stacks and data.
    pub(super) memory: Option<Within<ByteSize, { 16 * MIB }, TIB>>,
    /// The most files that one worker has open.
    pub(super) open_files: Option<Within<u64, 32, 1_048_576>>,
    /// The largest file that a worker may write, where it may write any.
    pub(super) file_size: Option<Within<ByteSize, 0, TIB>>,
    /// The most threads and processes of all its workers together, where the host is root; and of each of them, where
    /// workers have control groups of their own.
    pub(super) tasks: Option<Within<u64, 1, 65_536>>,
    /// How many calls run at a time in one worker. With more than one, a call that crashes takes the others along:
    /// for thread-safe plugins only.
    pub(super) threads: Option<Within<u64, 1, 1_024>>,
    /// How many workers are kept even when none is needed.
    pub(super) warm: Option<Within<u64, 0, 1_024>>,
    /// How long the plugin may take to load and to make an instance.
    pub(super) startup: Option<Within<Span, 1, DAY>>,
    /// After how long without a call a worker ends.
    pub(super) idle: Option<Within<Span, 1, DAY>>,
    /// After how many calls a worker is replaced.
    pub(super) recycle: Option<Within<u64, 1, 1_000_000_000>>,
    /// How long code that was told to stop has before it is killed.
    pub(super) grace: Option<Within<Span, 0, { 60 * SECOND }>>,
    /// What share of the calls a new build gets at first, in percent; with 0 it takes over at once.
    pub(super) canary: Option<Within<u64, 0, 90>>,
    /// How long a new build serves that share before it takes over.
    pub(super) canary_window: Option<Within<Span, SECOND, DAY>>,
    /// Whether it may use the network.
    pub(super) network: Option<bool>,
    /// Files and folders that it may read, as `["/srv/models"]`.
    pub(super) read: Option<Vec<AbsolutePath>>,
    /// Files and folders that it may read and write.
    pub(super) write: Option<Vec<AbsolutePath>>,
    /// Names of variables of the host's environment that it is handed with their values.
    pub(super) env: Option<Vec<VariableName>>,
}

/// `[workers]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WorkersKeys {
    /// Which way of dealing with the operating system is taken.
    pub(super) platform: Option<PlatformKind>,
    /// How far workers must be shut in.
    pub(super) sandbox: Option<Sandbox>,
    /// How many workers wait without a plugin, to take the place of one that died.
    pub(super) spares: Option<Within<u64, 0, 16>>,
    /// The user ids that workers run under where the host is root, one for each plugin.
    pub(super) uids: Option<UidRange>,
}

/// `[jobs]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobsKeys {
    /// Where records of jobs are: `"sqlite"` for one host,
    /// `"postgres://user:password@host/database?sslmode=require"` for many.
    pub(super) store: Option<StorePlace>,
    /// Where the bytes of images and results are: `"files"` in the state folder, `"database"`, the absolute path of
    /// a folder that all hosts share, or `"s3://bucket/prefix"`.
    pub(super) payloads: Option<PayloadPlace>,
    /// Certificates that the store's TLS trusts besides the system's, in PEM.
    #[schemars(example = "/etc/bulkhead/postgres-ca.pem")]
    pub(super) postgres_ca: Option<AbsolutePath>,
    /// How long jobs that ended can be looked up: until either limit is passed.
    pub(super) retention: RetentionKeys,
    /// How often a job may be begun, where its submitter does not say.
    pub(super) attempts: Option<Within<u64, 1, 100>>,
    /// How long after an attempt that failed the next may begin; doubles with each, up to 5 min.
    pub(super) backoff: Option<Within<Span, 10, HOUR>>,
    /// How long a host that says nothing keeps its jobs.
    pub(super) lease: Option<Within<Span, SECOND, HOUR>>,
    /// How long a job waits for a plugin that no host serves.
    pub(super) patience: Option<Within<Span, SECOND, { 365 * DAY }>>,
    /// Who is told of the ends of jobs, and how.
    pub(super) callbacks: CallbacksKeys,
}

/// `[jobs.retention]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetentionKeys {
    /// For how long after its end a job is kept.
    pub(super) age: Option<Within<Span, SECOND, { 3_650 * DAY }>>,
    /// How many jobs that ended are kept.
    pub(super) count: Option<Within<u64, 1, 100_000_000>>,
    /// How long bytes that no job needs are kept.
    pub(super) payloads: Option<Within<Span, SECOND, { 30 * DAY }>>,
}

/// `[jobs.callbacks]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CallbacksKeys {
    /// Who may be told: `"hooks.example.com"`, `"*.example.com"`, `"203.0.113.7"`. Needs `secret`.
    pub(super) hosts: Option<Vec<HostPattern>>,
    /// What messages are signed with: `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes
    /// them.
    #[schemars(example = "whsec_ZXhhbXBsZTogbWFrZSBhIGtleSBvZiB5b3VyIG93bg==")]
    pub(super) secret: Option<Secret>,
    /// Whether addresses that are not public may be told.
    pub(super) internal: Option<bool>,
    /// How often it is tried.
    pub(super) attempts: Option<Within<u64, 1, 100>>,
    /// How long each try may take.
    pub(super) timeout: Option<Within<Span, 100, { 300 * SECOND }>>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogKeys {
    /// What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`, for single modules too:
    /// `"warn,bulkhead=debug"`.
    pub(super) level: Option<Level>,
    /// The form of a log line.
    pub(super) format: Option<LogFormat>,
}

/// `[telemetry]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TelemetryKeys {
    /// The collector that traces go to, which speaks OTLP over HTTP.
    #[schemars(example = "http://127.0.0.1:4318")]
    pub(super) otlp: Option<Collector>,
    /// How many of a hundred requests are traced; one that comes with a trace goes by that.
    pub(super) sample: Option<Within<u64, 0, 100>>,
}
