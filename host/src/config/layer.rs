//! What one source says: the shape of the file, with every key optional. Knows no source and no default.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Layer {
    pub(super) server: ServerKeys,
    pub(super) access: AccessKeys,
    pub(super) plugins: PluginsKeys,
    pub(super) plugin: BTreeMap<Name, PluginKeys>,
    pub(super) workers: WorkersKeys,
    pub(super) jobs: JobsKeys,
    pub(super) log: LogKeys,
    pub(super) telemetry: TelemetryKeys,
}

/// `[server]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerKeys {
    pub(super) listen: Option<Address>,
    pub(super) socket: Option<AbsolutePath>,
    pub(super) socket_mode: Option<FileMode>,
    pub(super) insecure: Option<bool>,
    pub(super) hosts: Option<Vec<HostPattern>>,
    pub(super) tls: TlsKeys,
    pub(super) connections: Option<Within<u64, 1, 1_048_576>>,
    pub(super) max_head: Option<Within<ByteSize, { 8 * KIB }, MIB>>,
    pub(super) header_timeout: Option<Within<Span, 100, { 300 * SECOND }>>,
    pub(super) body_timeout: Option<Within<Span, 100, HOUR>>,
    pub(super) send_timeout: Option<Within<Span, 100, HOUR>>,
    pub(super) compression: Option<bool>,
    pub(super) max_body: Option<Within<ByteSize, 1, { 4 * GIB }>>,
    pub(super) max_in_flight: Option<Within<ByteSize, 1, TIB>>,
    pub(super) max_pixels: Option<Within<u64, 1, 1_000_000_000_000>>,
    pub(super) drain: Option<Within<Span, 0, DAY>>,
}

/// `[server.tls]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsKeys {
    pub(super) certificate: Option<AbsolutePath>,
    pub(super) key: Option<AbsolutePath>,
}

/// `[access]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AccessKeys {
    pub(super) tokens: Option<AbsolutePath>,
    pub(super) loopback: Option<Loopback>,
    pub(super) rate: Option<Within<u64, 0, 1_000_000>>,
    pub(super) burst: Option<Within<u64, 1, 1_000_000>>,
}

/// `[plugins]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginsKeys {
    pub(super) dir: Option<PathBuf>,
    pub(super) default: Option<Name>,
    pub(super) preload: Option<Within<u64, 0, 100_000>>,
    pub(super) watch: Option<bool>,
    pub(super) settle: Option<Within<Span, 20, { 60 * SECOND }>>,
    pub(super) rescan: Option<Within<Span, 200, HOUR>>,
    pub(super) keep: Option<Within<u64, 0, 100>>,
    pub(super) defaults: PluginKeys,
}

/// `[plugins.defaults]` and `[plugin.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginKeys {
    pub(super) lane: Option<LaneKind>,
    pub(super) deadline: Option<Within<Span, 1, DAY>>,
    pub(super) concurrency: Option<Within<u64, 1, 1_024>>,
    pub(super) queue: Option<Within<u64, 0, 100_000>>,
    pub(super) inline: Option<bool>,
    pub(super) required: Option<bool>,
    pub(super) settings: Option<Settings>,
    pub(super) max_output: Option<Within<ByteSize, 1, { 4 * GIB }>>,
    pub(super) check_output: Option<bool>,
    pub(super) memory: Option<Within<ByteSize, { 16 * MIB }, TIB>>,
    pub(super) open_files: Option<Within<u64, 32, 1_048_576>>,
    pub(super) file_size: Option<Within<ByteSize, 0, TIB>>,
    pub(super) tasks: Option<Within<u64, 1, 65_536>>,
    pub(super) threads: Option<Within<u64, 1, 1_024>>,
    pub(super) warm: Option<Within<u64, 0, 1_024>>,
    pub(super) startup: Option<Within<Span, 1, DAY>>,
    pub(super) idle: Option<Within<Span, 1, DAY>>,
    pub(super) recycle: Option<Within<u64, 1, 1_000_000_000>>,
    pub(super) grace: Option<Within<Span, 0, { 60 * SECOND }>>,
    pub(super) canary: Option<Within<u64, 0, 90>>,
    pub(super) canary_window: Option<Within<Span, SECOND, DAY>>,
    pub(super) network: Option<bool>,
    pub(super) read: Option<Vec<AbsolutePath>>,
    pub(super) write: Option<Vec<AbsolutePath>>,
    pub(super) env: Option<Vec<VariableName>>,
}

/// `[workers]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WorkersKeys {
    pub(super) platform: Option<PlatformKind>,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) spares: Option<Within<u64, 0, 16>>,
    pub(super) uids: Option<UidRange>,
}

/// `[jobs]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobsKeys {
    pub(super) store: Option<StorePlace>,
    pub(super) payloads: Option<PayloadPlace>,
    pub(super) postgres_ca: Option<AbsolutePath>,
    pub(super) retention: RetentionKeys,
    pub(super) attempts: Option<Within<u64, 1, 100>>,
    pub(super) backoff: Option<Within<Span, 10, HOUR>>,
    pub(super) lease: Option<Within<Span, SECOND, HOUR>>,
    pub(super) patience: Option<Within<Span, SECOND, { 365 * DAY }>>,
    pub(super) callbacks: CallbacksKeys,
}

/// `[jobs.retention]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetentionKeys {
    pub(super) age: Option<Within<Span, SECOND, { 3_650 * DAY }>>,
    pub(super) count: Option<Within<u64, 1, 100_000_000>>,
    pub(super) payloads: Option<Within<Span, SECOND, { 30 * DAY }>>,
}

/// `[jobs.callbacks]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CallbacksKeys {
    pub(super) hosts: Option<Vec<HostPattern>>,
    pub(super) secret: Option<Secret>,
    pub(super) internal: Option<bool>,
    pub(super) attempts: Option<Within<u64, 1, 100>>,
    pub(super) timeout: Option<Within<Span, 100, { 300 * SECOND }>>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogKeys {
    pub(super) level: Option<Level>,
    pub(super) format: Option<LogFormat>,
}

/// `[telemetry]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TelemetryKeys {
    pub(super) otlp: Option<Collector>,
    pub(super) sample: Option<Within<u64, 0, 100>>,
}
