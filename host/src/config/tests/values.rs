//! What the sources may say.

use std::path::PathBuf;

use super::super::{ByteSize, Span};
use super::*;
use crate::names::PluginName;

pub(super) const EVERYTHING: &str = r#"
[server]
listen = "[::1]:0"
insecure = true
socket = "/run/bulkhead.sock"
socket_mode = "600"
hosts = ["plugins.example.com"]
tls = { certificate = "/etc/c.pem", key = "/etc/k.pem" }
connections = 7
max_head = "8KiB"
header_timeout = "1s"
body_timeout = "2s"
send_timeout = "3s"
compression = false
max_body = "1GiB"
max_in_flight = "2GiB"
max_pixels = 5
drain = "0s"
[access]
tokens = "/etc/bulkhead/tokens.json"
loopback = "token"
rate = 10
burst = 20
[plugins]
dir = "elsewhere"
default = "qr"
preload = 0
watch = false
settle = "20ms"
rescan = "1h"
keep = 100
[plugins.defaults]
lane = "in-process"
deadline = "1h30m"
concurrency = 1000
queue = 0
inline = true
required = true
settings = { a = 1 }
max_output = 4096
check_output = false
memory = "16MiB"
open_files = 32
file_size = 0
tasks = 9
threads = 4
warm = 2
startup = "5s"
idle = "1m"
recycle = 1
grace = "0s"
canary = 90
canary_window = "1s"
network = true
read = ["/data/models", "/etc/x"]
write = ["/data/out"]
env = ["HOME", "NOT_SET"]
[workers]
platform = "portable"
sandbox = "required"
spares = 0
uids = "1000..1000"
[jobs]
store = "postgres://me:secret@db.example/jobs?sslmode=require"
payloads = "/mnt/shared"
postgres_ca = "/etc/ca.pem"
retention = { age = "1s", count = 5, payloads = "30d" }
attempts = 100
backoff = "10ms"
lease = "1h"
patience = "365d"
[jobs.callbacks]
hosts = ["Example.com", "*.example.org", "::1"]
secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
internal = true
attempts = 1
timeout = "5m"
[log]
level = "warn,bulkhead=trace"
format = "json"
[telemetry]
otlp = "http://127.0.0.1:4318/"
sample = 10
"#;

#[test]
fn every_key_can_be_set() {
    check(
        EVERYTHING,
        &[],
        "listen=[::1]:0; insecure=true; socket=Some(\"/run/bulkhead.sock\"); socket_mode=600; \
         names=[HostPattern(Name(\"plugins.example.com\"))]; \
         tls=Tls { certificate: Some(\"/etc/c.pem\"), key: Some(\"/etc/k.pem\") }; connections=7; max_head=8KiB; \
         header_timeout=1s; body_timeout=2s; send_timeout=3s; compression=false; \
         tokens=Some(\"/etc/bulkhead/tokens.json\"); loopback=Token; rate=10; burst=20; max_body=1GiB; max_in_flight=2GiB; max_pixels=5; drain=0s; dir=elsewhere; \
         default=qr; preload=0; watch=false; settle=20ms; rescan=1h; keep=100; platform=Portable; sandbox=Required; spares=0; uids=1000..1000; store=Postgres(postgres://me:***@db.example/jobs?…); payloads=Folder(\"/mnt/shared\"); postgres_ca=Some(\"/etc/ca.pem\"); \
         age=1s; count=5; unused=30days; attempts=100; backoff=10ms; lease=1h; patience=365days; \
         hosts=[HostPattern(Name(\"example.com\")), HostPattern(Below(\".example.org\")), HostPattern(Address(::1))]; \
         secret=Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); internal=true; \
         callback_attempts=1; timeout=5m; level=warn,bulkhead=trace; format=Json; otlp=Some(Collector(\"http://127.0.0.1:4318\")); sample=10; lane=InProcess; deadline=1h 30m; concurrency=1000; queue=0; \
         inline=true; required=true; settings={\"a\":1}; max_output=4KiB; check_output=false; memory=16MiB; \
         open_files=32; file_size=0B; tasks=9; threads=4; warm=2; startup=5s; recycle=1; grace=0s; canary=90; canary_window=1s; network=true; \
         read=[\"/data/models\", \"/etc/x\"]; write=[\"/data/out\"]; env={\"HOME\": \"/home/me\"}",
    );
}

#[test]
fn a_plugin_is_handed_the_variables_that_are_set() {
    let file =
        "[plugins.defaults]\nenv = ['A', 'B']\n[plugin.qr]\nenv = ['B']\n[plugin.none]\nenv = []";
    let variables = [("A", "1"), ("B", ""), ("C", "3")];
    let expected = r#"env={"A": "1", "B": ""}; none:env={}; qr:env={"B": ""}"#;
    check(file, &variables, expected);
}

#[test]
fn one_of_the_largest_requests_always_fits() {
    let budget = |in_flight, body| {
        let server = crate::config::Server {
            max_in_flight: ByteSize::new(in_flight),
            max_body: ByteSize::new(body),
            ..Default::default()
        };
        server.budget()
    };
    assert_eq!(budget(100, 50), 100);
    assert_eq!(budget(100, 51), 102);
}

#[test]
fn files_that_say_nothing() {
    check("", &[], "");
    check("\u{feff}", &[], "");
    check("# nothing\r\n", &[], "");
    check("[server]\n[plugin.qr]\n[plugins.defaults]\n", &[], "");
    assert_eq!(Case::default().outcome(), "");
}

#[test]
fn the_last_source_that_speaks_counts() {
    let file = "[server]\nlisten = '127.0.0.1:1'\n[plugins]\ndir = 'file'\ndefault = 'file'\n[log]\nlevel = 'off'";
    let variables = [
        ("BULKHEAD_SERVER_LISTEN", "127.0.0.1:2"),
        ("BULKHEAD_PLUGINS_DIR", "variable"),
        ("BULKHEAD_STATE", "variable"),
    ];
    let overrides = Overrides {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        state: Some(PathBuf::from("flag")),
        ..Overrides::default()
    };
    let from_flags = Overrides {
        plugins: Some(PathBuf::from("flag")),
        default: Some(PluginName::parse("flag").unwrap()),
        ..Overrides::default()
    };
    let case = |variables, overrides| Case {
        file: Some(file.as_bytes()),
        variables,
        overrides,
    };

    let outcome = case(&[], Overrides::default()).outcome();
    assert_eq!(
        outcome,
        "listen=127.0.0.1:1; dir=file; default=file; level=off"
    );
    let outcome = case(&variables, Overrides::default()).outcome();
    assert_eq!(
        outcome,
        "state=variable; listen=127.0.0.1:2; dir=variable; default=file; level=off"
    );
    let outcome = case(&variables, overrides).outcome();
    assert_eq!(
        outcome,
        "state=flag; listen=127.0.0.1:3; dir=variable; default=file; level=off"
    );
    let outcome = case(&variables, from_flags).outcome();
    assert_eq!(
        outcome,
        "state=variable; listen=127.0.0.1:2; dir=flag; default=flag; level=off"
    );
}

#[test]
fn variables_have_no_types() {
    check("", &[("BULKHEAD_SERVER_MAX_BODY", "8MiB")], "max_body=8MiB");
    check("", &[("BULKHEAD_SERVER_MAX_BODY", "4096")], "max_body=4KiB");
    check("", &[("BULKHEAD_SERVER_INSECURE", "true")], "insecure=true");
    check("", &[("BULKHEAD_PLUGINS_DIR", "7")], "dir=7");
    check("", &[("BULKHEAD_PLUGINS_DEFAULT", "qr")], "default=qr");
    check("", &[("BULKHEAD_PLUGINS_WATCH", "false")], "watch=false");
    check(
        "",
        &[
            ("BULKHEAD_PLUGINS_SETTLE", "1m"),
            ("BULKHEAD_PLUGINS_RESCAN", "200ms"),
            ("BULKHEAD_PLUGINS_KEEP", "0"),
        ],
        "settle=1m; rescan=200ms; keep=0",
    );
    check(
        "",
        &[
            ("BULKHEAD_PLUGINS_DEFAULTS_CANARY", "5"),
            ("BULKHEAD_PLUGINS_DEFAULTS_CANARY_WINDOW", "1d"),
        ],
        "canary=5; canary_window=1day",
    );
    check(
        "",
        &[("BULKHEAD_PLUGINS_DEFAULTS_DEADLINE", "5s")],
        "deadline=5s",
    );
    check("", &[("BULKHEAD_PLUGINS_DEFAULTS_QUEUE", "7")], "queue=7");
    check(
        "",
        &[("BULKHEAD_PLUGINS_DEFAULTS_CHECK_OUTPUT", "false")],
        "check_output=false",
    );
    check(
        "",
        &[("BULKHEAD_PLUGINS_DEFAULTS_SETTINGS", "{ a = [1, 'b'] }")],
        "settings={\"a\":[1,\"b\"]}",
    );
    check(
        "",
        &[("BULKHEAD_PLUGINS_DEFAULTS_READ", "/a, /b")],
        "read=[\"/a\", \"/b\"]",
    );
    check(
        "",
        &[("BULKHEAD_PLUGINS_DEFAULTS_ENV", "HOME")],
        "env={\"HOME\": \"/home/me\"}",
    );
    check("", &[("BULKHEAD_WORKERS_SANDBOX", "off")], "sandbox=Off");
    check(
        "",
        &[
            ("BULKHEAD_WORKERS_UIDS", "7..9"),
            ("BULKHEAD_WORKERS_SPARES", "16"),
        ],
        "spares=16; uids=7..9",
    );
    check("", &[("BULKHEAD_JOBS_RETENTION_AGE", "2h")], "age=2h");
    check("", &[("BULKHEAD_LOG_FORMAT", "text")], "format=Text");
    check("", &[("BULKHEAD_LOG", "debug")], "level=debug");
    check(
        "",
        &[("BULKHEAD_LOG", "debug"), ("BULKHEAD_LOG_LEVEL", "warn")],
        "level=warn",
    );
    check(
        "",
        &[
            ("BULKHEAD_LOG", ""),
            ("BULKHEAD_STATE", ""),
            ("OTHER_LOG", "x"),
        ],
        "",
    );
}

#[test]
fn a_plugin_lies_on_the_defaults() {
    let file = r#"
        [plugin.qr]
        deadline = "1s"
        settings = { at = 2026-11-22, deep = { list = [1.5, true] } }
        [plugins.defaults]
        deadline = "9s"
        queue = 3
        settings = { everybody = "yes" }
        [plugin.phash]
        required = true
    "#;
    let expected = "deadline=9s; queue=3; settings={\"everybody\":\"yes\"}; phash:required=true; qr:deadline=1s; \
                    qr:settings={\"at\":\"2026-11-22\",\"deep\":{\"list\":[1.5,true]}}";
    check(file, &[], expected);

    // The defaults of a stronger source are still only defaults.
    let defaults = [("BULKHEAD_PLUGINS_DEFAULTS_DEADLINE", "5s")];
    check(file, &defaults, &expected.replace("9s", "5s"));
}

#[test]
fn a_plugin_that_nobody_names_has_the_defaults() {
    let config = Config::built_in(PathBuf::new());
    let plugin = config.plugin(&PluginName::parse("anything").unwrap());
    assert_eq!(plugin, PluginConfig::default());
}

#[test]
fn where_the_state_is() {
    check(
        "",
        &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")],
        "state=/var/lib/a",
    );
    check("", &[("XDG_STATE_HOME", "/xdg")], "state=/xdg/bulkhead");
    check("", &[("XDG_STATE_HOME", "relative")], "");
    check(
        "",
        &[("XDG_STATE_HOME", "/xdg"), ("STATE_DIRECTORY", "/s")],
        "state=/s",
    );
    check(
        "",
        &[("STATE_DIRECTORY", "/s"), ("BULKHEAD_STATE", "here")],
        "state=here",
    );
}

#[test]
fn the_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, level: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("[log]\nlevel = '{level}'")).unwrap();
        path
    };
    let by_flag = write("flag.toml", "error");
    let by_variable = write("variable.toml", "warn");
    write("bulkhead.toml", "debug");
    let level = |config: Option<PathBuf>, variable: &str| {
        let environment: Environment = [("BULKHEAD_CONFIG", variable), ("HOME", "/h")]
            .into_iter()
            .collect();
        let folder = folder.path().to_owned();
        let sources = Sources {
            config,
            folder,
            environment,
            ..Sources::default()
        };
        read(&sources).unwrap().log.level
    };

    assert_eq!(level(None, ""), "debug");
    assert_eq!(level(None, by_variable.to_str().unwrap()), "warn");
    assert_eq!(level(Some(by_flag), by_variable.to_str().unwrap()), "error");
}

#[test]
fn forms_of_sizes() {
    for (text, bytes) in [
        ("0", 0),
        ("12", 12),
        ("12B", 12),
        ("1KB", 1_000),
        ("10MB", 10_000_000),
        ("512KiB", 512 << 10),
        ("64MiB", 64 << 20),
        ("64 MiB", 64 << 20),
        ("1.5GiB", 3 << 29),
    ] {
        let size: ByteSize = text.parse().unwrap();
        assert_eq!(size.bytes(), bytes, "{text}");
        assert_eq!(size.to_string().parse(), Ok(size), "{size}");
    }
    for bad in ["", "MiB", "-1", "64 potatoes", "1e9"] {
        bad.parse::<ByteSize>().unwrap_err();
    }
}

#[test]
fn forms_of_durations() {
    for (text, millis) in [
        ("0s", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("7d", 604_800_000),
        ("365d", 31_536_000_000),
    ] {
        let span: Span = text.parse().unwrap();
        assert_eq!(span, Span::millis(millis), "{text}");
        assert_eq!(span.to_string().parse(), Ok(span), "{span}");
    }
    assert_eq!("365d".parse::<Span>().unwrap().to_string(), "365days");
    for bad in ["", "30", "-1s", "soon", "99999999999999999999s"] {
        bad.parse::<Span>().unwrap_err();
    }
}
