//! What a running host takes over, and what waits for a restart.

use super::super::keys;
use super::values::EVERYTHING;
use super::*;

#[test]
fn every_setting_is_taken_over_or_waits() {
    check_adopted(
        "",
        EVERYTHING,
        "names=[HostPattern(Name(\"plugins.example.com\"))]; rate=10; burst=20; default=qr; preload=0; keep=100; age=1s; count=5; unused=30days; attempts=100; backoff=10ms; patience=365days; \
         hosts=[HostPattern(Name(\"example.com\")), HostPattern(Below(\".example.org\")), HostPattern(Address(::1))]; \
         secret=Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); internal=true; \
         callback_attempts=1; timeout=5m; level=warn,bulkhead=trace; lane=InProcess; deadline=1h 30m; \
         concurrency=1000; queue=0; inline=true; required=true; settings={\"a\":1}; max_output=4KiB; \
         check_output=false; memory=16MiB; open_files=32; file_size=0B; tasks=9; threads=4; warm=2; startup=5s; \
         recycle=1; grace=0s; canary=90; canary_window=1s; network=true; read=[\"/data/models\", \"/etc/x\"]; \
         write=[\"/data/out\"]; env={\"HOME\": \"/home/me\"}",
        "server.listen server.socket server.socket_mode server.insecure server.tls server.connections \
         server.max_head server.header_timeout server.body_timeout server.send_timeout server.compression \
         server.max_body server.max_in_flight server.max_pixels server.drain access.tokens access.loopback \
         plugins.dir plugins.watch plugins.settle plugins.rescan workers.platform workers.sandbox workers.spares workers.uids \
         jobs.store jobs.payloads jobs.postgres_ca jobs.lease log.format telemetry.otlp telemetry.sample",
    );
}

#[test]
fn plugins_come_and_go_and_change() {
    check_adopted("", "[plugin.qr]\ndeadline = '5s'", "qr:deadline=5s", "");
    check_adopted(
        "[plugin.qr]\ndeadline = '5s'\n[plugins.defaults]\nqueue = 1",
        "[plugin.phash]\nqueue = 9",
        "queue=64; phash:queue=9",
        "",
    );
    check_adopted(
        "[plugin.qr]\nsettings = { a = 1 }",
        "[plugin.qr]\nsettings = { a = 2 }\n[workers]\nspares = 2",
        "qr:settings={\"a\":2}",
        "workers.spares",
    );
}

#[test]
fn another_certificate_is_taken_over_but_whether_there_is_one_waits() {
    let tls =
        |name: &str| format!("server.tls = {{ certificate = '/{name}.pem', key = '/{name}.key' }}");
    let taken = "tls=Tls { certificate: Some(\"/b.pem\"), key: Some(\"/b.key\") }";
    check_adopted(&tls("a"), &tls("b"), taken, "");
    check_adopted("", &tls("b"), "", "server.tls");
    check_adopted(&tls("a"), "", "", "server.tls");
}

#[test]
fn what_has_not_changed_does_not_wait() {
    for file in ["", EVERYTHING] {
        check_adopted(file, file, "", "");
    }
}

#[test]
fn a_state_elsewhere_waits() {
    let (here, there) = (
        Config::built_in("/here".into()),
        Config::built_in("/there".into()),
    );
    let (adopted, waits) = here.adopt(there);
    assert_eq!((adopted, waits), (here, vec!["state".to_owned()]));
}

/// What holds afterwards and did not before, and the keys that wait, when a host that was started
/// with one file reads another.
#[track_caller]
fn check_adopted(before: &str, after: &str, taken: &str, waiting: &str) {
    let (running, fresh) = (settings(before), settings(after));
    let (adopted, waits) = running.adopt(fresh.clone());
    assert_eq!(changes(&running, &adopted), taken, "\n{before}\n{after}");
    assert_eq!(waits.join(" "), waiting, "\n{before}\n{after}");
    for key in &waits {
        let path: Vec<_> = key.split('.').collect();
        let (name, table) = path.split_last().unwrap();
        assert!(keys::of(table).unwrap().contains(name), "{key} is no key");
    }
    // A host that was restarted has all of it.
    assert_eq!(waits.is_empty(), adopted == fresh, "\n{before}\n{after}");
}

pub(super) fn settings(file: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bulkhead.toml"), file).unwrap();
    let sources = Sources {
        folder: folder.path().to_owned(),
        environment: [("HOME", "/home/me")].into_iter().collect(),
        ..Sources::default()
    };
    read(&sources).unwrap()
}
