//! What the file may not say, and how it is told.

use super::*;

/// Each first line is the file, its table on a line of its own; each second line is what is said of it.
const UNKNOWN_KEYS: &str = r#"
sever = 1
1:1: unknown key `sever`: did you mean `server`?
[server] lisen = ''
2:1: unknown key `lisen` in [server]: did you mean `listen`?
server.lisen = ''
1:8: unknown key `lisen` in [server]: did you mean `listen`?
[plugins] zzzzzz = 1
2:1: unknown key `zzzzzz` in [plugins]
[plugins] deadline = '1s'
2:1: unknown key `deadline` in [plugins]: did you mean `plugins.defaults.deadline`?
[plugin.qr] dedline = 1
2:1: unknown key `dedline` in [plugin.qr]: did you mean `deadline`?
[plugins.defaults] queu = 1
2:1: unknown key `queu` in [plugins.defaults]: did you mean `queue`?
[jobs] retention = { ages = 1 }
2:15: unknown key `ages` in [jobs.retention]: did you mean `age`?
[log] "le\nvel" = 1
2:1: unknown key `le\nvel` in [log]: did you mean `level`?
"#;

const WRONG_VALUES: &str = r#"
[server] insecure = 'yes'
2:12: `server.insecure`: invalid type: string "yes", expected a boolean
[server] listen = 8077
2:10: `server.listen`: invalid type: integer `8077`, expected a string
[server] listen = 'localhost:1'
2:10: `server.listen`: `localhost:1` is no address and port: write "127.0.0.1:8077" or "[::1]:8077"
[server] max_body = 'lots'
2:12: `server.max_body`: `lots` is no size: write "64MiB", "512KiB", "10MB" or a number of bytes
[server] max_body = 0
2:12: `server.max_body`: invalid value: integer `0`, expected a size such as "64MiB", from 1B to 4GiB
[server] max_body = '5GiB'
2:12: `server.max_body`: invalid value: string "5GiB", expected a size such as "64MiB", from 1B to 4GiB
[server] drain = 30
2:9: `server.drain`: invalid type: integer `30`, expected a duration such as "30s", from 0s to 1day
[server] drain = '30'
2:9: `server.drain`: `30` is no duration: write "500ms", "30s", "7d" or "1h30m"
[plugins] default = 'Image Info'
2:11: `plugins.default`: `Image Info` is no plugin name: 1 to 64 of a-z, 0-9 and -, the first a letter
[plugins] watch = 'no'
2:9: `plugins.watch`: invalid type: string "no", expected a boolean
[plugins] settle = '19ms'
2:10: `plugins.settle`: invalid value: string "19ms", expected a duration such as "30s", from 20ms to 1m
[plugins] settle = '61s'
2:10: `plugins.settle`: invalid value: string "61s", expected a duration such as "30s", from 20ms to 1m
[plugins] rescan = '199ms'
2:10: `plugins.rescan`: invalid value: string "199ms", expected a duration such as "30s", from 200ms to 1h
[plugins] rescan = '61m'
2:10: `plugins.rescan`: invalid value: string "61m", expected a duration such as "30s", from 200ms to 1h
[plugins] keep = 101
2:8: `plugins.keep`: invalid value: integer `101`, expected a whole number from 0 to 100
[plugin.qr] canary = 91
2:10: `plugin.qr.canary`: invalid value: integer `91`, expected a whole number from 0 to 90
[plugin.qr] canary_window = '999ms'
2:17: `plugin.qr.canary_window`: invalid value: string "999ms", expected a duration such as "30s", from 1s to 1day
[plugins] canary = 5
2:1: unknown key `canary` in [plugins]: did you mean `plugins.defaults.canary`?
[plugins.defaults] concurrency = 0
2:15: `plugins.defaults.concurrency`: invalid value: integer `0`, expected a whole number from 1 to 1024
[plugins.defaults] concurrency = -1
2:15: `plugins.defaults.concurrency`: invalid value: integer `-1`, expected a whole number from 1 to 1024
[plugins.defaults] concurrency = '2'
2:15: `plugins.defaults.concurrency`: invalid type: string "2", expected a whole number from 1 to 1024
[plugins.defaults] queue = 1000000
2:9: `plugins.defaults.queue`: invalid value: integer `1000000`, expected a whole number from 0 to 100000
[plugin.qr] deadline = '0s'
2:12: `plugin.qr.deadline`: invalid value: string "0s", expected a duration such as "30s", from 1ms to 1day
[plugin.qr] lane = 'thread'
2:8: `plugin.qr.lane`: no lane is called `thread`: there are `process` and `in-process`
[plugin.qr] memory = '15MiB'
2:10: `plugin.qr.memory`: invalid value: string "15MiB", expected a size such as "64MiB", from 16MiB to 1TiB
[plugin.qr] open_files = 31
2:14: `plugin.qr.open_files`: invalid value: integer `31`, expected a whole number from 32 to 1048576
[plugin.qr] grace = '61s'
2:9: `plugin.qr.grace`: invalid value: string "61s", expected a duration such as "30s", from 0s to 1m
[plugin.qr] read = '/data'
2:8: `plugin.qr.read`: invalid type: string "/data", expected a sequence
[plugin.qr] read = ['/data', 'models']
2:8: `plugin.qr.read`: `models` is no absolute path
[plugin.qr] env = ['HOME', 'LD_PRELOAD']
2:7: `plugin.qr.env`: `LD_PRELOAD` is handed to no plugin, as nothing is that begins with LD_
[plugin.qr] env = ['BULKHEAD_STATE']
2:7: `plugin.qr.env`: `BULKHEAD_STATE` is handed to no plugin, as nothing is that begins with BULKHEAD_
[plugin.qr] env = ['A=B']
2:7: `plugin.qr.env`: `A=B` is no name of a variable
[workers] platform = 'windows'
2:12: `workers.platform`: no platform is called `windows`: there are `auto`, `linux` and `portable`
[workers] sandbox = 'on'
2:11: `workers.sandbox`: unknown variant `on`, expected one of `best-effort`, `required`, `off`
[workers] spares = 17
2:10: `workers.spares`: invalid value: integer `17`, expected a whole number from 0 to 16
[workers] uids = '0..9'
2:8: `workers.uids`: `0..9` is no range of user ids: write "61184..65519", from 1 on
[workers] uids = '9..8'
2:8: `workers.uids`: `9..8` is no range of user ids: write "61184..65519", from 1 on
[workers] uids = '1..4294967295'
2:8: `workers.uids`: `1..4294967295` is no range of user ids: write "61184..65519", from 1 on
[plugin.qr] settings = 1
2:12: `plugin.qr.settings`: invalid type: integer `1`, expected a map
[plugin.qr] settings = { a = { b = nan } }
2:12: `plugin.qr.settings`: NaN cannot be said in JSON
[plugin.QR]
1:9: `plugin.QR`: `QR` is no plugin name: 1 to 64 of a-z, 0-9 and -, the first a letter
[jobs] retention = { age = '7d', count = 0 }
2:35: `jobs.retention.count`: invalid value: integer `0`, expected a whole number from 1 to 100000000
[jobs] retention = { payloads = '31d' }
2:26: `jobs.retention.payloads`: invalid value: string "31d", expected a duration such as "30s", from 1s to 30days
[jobs] attempts = 0
2:12: `jobs.attempts`: invalid value: integer `0`, expected a whole number from 1 to 100
[jobs] backoff = '9ms'
2:11: `jobs.backoff`: invalid value: string "9ms", expected a duration such as "30s", from 10ms to 1h
[jobs] lease = '61m'
2:9: `jobs.lease`: invalid value: string "61m", expected a duration such as "30s", from 1s to 1h
[jobs] patience = '366d'
2:12: `jobs.patience`: invalid value: string "366d", expected a duration such as "30s", from 1s to 365days
[jobs] postgres_ca = 'ca.pem'
2:15: `jobs.postgres_ca`: `ca.pem` is no absolute path
[jobs.callbacks] attempts = 101
2:12: `jobs.callbacks.attempts`: invalid value: integer `101`, expected a whole number from 1 to 100
[jobs.callbacks] timeout = '99ms'
2:11: `jobs.callbacks.timeout`: invalid value: string "99ms", expected a duration such as "30s", from 100ms to 5m
[log] format = 'xml'
2:10: `log.format`: unknown variant `xml`, expected one of `auto`, `text`, `json`
[log] level = 'warn,inof'
2:9: `log.level`: `inof` is no level: did you mean `info`?
"#;

const NO_TABLES: &str = r#"
server = ['127.0.0.1:1']
1:10: `server`: expected a table, found the array
plugin = 1
1:10: `plugin`: expected a table, found the integer
[[plugin.qr]]
1:1: `plugin.qr`: expected a table, found the array
"#;

const NO_TOML: &str = r#"
[server
1:8: `server`: unclosed table, expected `]`
x
1:2: key with no value, expected `=`
[log] level = info
2:9: `log.level`: `info` is no value: text stands in quotes
[log] level =
2:8: `log.level`: string values must be quoted, expected literal string
"#;

#[test]
fn the_place_and_the_key_are_named() {
    for table in [UNKNOWN_KEYS, WRONG_VALUES, NO_TABLES, NO_TOML] {
        for (file, fault) in pairs(table) {
            check_fault(&file.replacen("] ", "]\n", 1), fault);
        }
    }
}

#[test]
fn files_of_several_lines() {
    // The first in the file, not in the alphabet.
    check_fault("[log]\nzz = 1\naa = 1", "2:1: unknown key `zz` in [log]");
    check_fault(
        "[log]\nlevel = 'a'\nlevel = 'b'",
        "3:1: duplicate key `level`",
    );
    check_fault("[log]\n[log]", "2:2: `log`: duplicate key `log`");
    // The mark is no column, and a line ends with either kind of end.
    check_fault("\u{feff}x = 1", "1:1: unknown key `x`");
    check_fault(
        "[log]\r\n\r\n# é\r\nlevel = 1",
        "4:9: `log.level`: invalid type: integer `1`, expected a string",
    );
}

#[test]
fn nothing_runs_inline_in_a_worker() {
    let fault =
        "`inline` needs `lane = \"in-process\"`: a worker's code never runs on the calling task";
    let of_all = "[plugins.defaults]\nlane = 'process'\ninline = true";
    check_fault(of_all, &format!("3:10: `plugins.defaults.inline`: {fault}"));
    let own =
        "[plugins.defaults]\nlane = 'in-process'\ninline = true\n[plugin.qr]\nlane = 'process'";
    check_fault(own, &format!("5:8: `plugin.qr.lane`: {fault}"));
    let own = "[plugins.defaults]\nlane = 'process'\n[plugin.qr]\ninline = true";
    check_fault(own, &format!("4:10: `plugin.qr.inline`: {fault}"));
    check(
        "[plugins.defaults]\nlane = 'process'",
        &[("BULKHEAD_PLUGINS_DEFAULTS_INLINE", "true")],
        &format!("`BULKHEAD_PLUGINS_DEFAULTS_INLINE`: {fault}"),
    );
}

#[test]
fn files_that_cannot_be_read() {
    let outcome = |file: &[u8]| {
        Case {
            file: Some(file),
            ..Case::default()
        }
        .outcome()
    };
    assert_eq!(
        outcome(b"# \n# caf\xe9"),
        "bulkhead.toml:2:6: from here on it is not UTF-8 text"
    );
    assert_eq!(
        outcome(b"\xff\xfe[\0"),
        "bulkhead.toml:1:1: from here on it is not UTF-8 text"
    );

    let gone = "cannot read the configuration `/gone.toml`: No such file or directory (os error 2)";
    check("", &[("BULKHEAD_CONFIG", "/gone.toml")], gone);
    let folder = "cannot read the configuration `/`: Is a directory (os error 21)";
    check("", &[("BULKHEAD_CONFIG", "/")], folder);
}

#[test]
fn a_report_shows_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.toml");
    fs::write(&path, "# ours\n[server]\nlisen = '127.0.0.1:1'\n").unwrap();
    let sources = Sources {
        config: Some(path),
        ..Sources::default()
    };

    let report = report(&read(&sources).unwrap_err());
    assert!(
        report.contains("unknown key `lisen` in [server]: did you mean `listen`?"),
        "{report}"
    );
    assert!(report.contains("b.toml:3:1"), "{report}");
    assert!(report.contains("3 │ lisen = '127.0.0.1:1'"), "{report}");
}

#[track_caller]
fn check_fault(file: &str, fault: &str) {
    check(file, &[], &format!("bulkhead.toml:{fault}"));
}
