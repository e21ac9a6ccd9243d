//! What variables and flags may not say, and how it is told.

use super::*;

/// Each first line is a variable, each second line what is said of it.
const WRONG: &str = r#"
BULKHEAD_SERVER_LISEN=x
unknown variable `BULKHEAD_SERVER_LISEN`: did you mean `BULKHEAD_SERVER_LISTEN`?
BULKHEAD_PLUGIN_DIR=x
unknown variable `BULKHEAD_PLUGIN_DIR`: did you mean `BULKHEAD_PLUGINS_DIR`?
BULKHEAD_ZZZ=
unknown variable `BULKHEAD_ZZZ`
BULKHEAD_PLUGIN_QR_DEADLINE=1s
unknown variable `BULKHEAD_PLUGIN_QR_DEADLINE`
BULKHEAD_PLUGINS_DEFAULTS=1
unknown variable `BULKHEAD_PLUGINS_DEFAULTS`: did you mean `BULKHEAD_PLUGINS_DEFAULT`?
BULKHEAD_PLUGINS_DEFAULTS_CONCURRENCY=0
`BULKHEAD_PLUGINS_DEFAULTS_CONCURRENCY`: invalid value: integer `0`, expected a whole number from 1 to 1024
BULKHEAD_PLUGINS_DEFAULTS_CONCURRENCY=many
`BULKHEAD_PLUGINS_DEFAULTS_CONCURRENCY`: invalid type: string "many", expected a whole number from 1 to 1024
BULKHEAD_PLUGINS_DEFAULTS_LANE=thread
`BULKHEAD_PLUGINS_DEFAULTS_LANE`: no lane is called `thread`: there are `process` and `in-process`
BULKHEAD_PLUGINS_DEFAULTS_WRITE=/a,b
`BULKHEAD_PLUGINS_DEFAULTS_WRITE`: `b` is no absolute path
BULKHEAD_PLUGINS_DEFAULTS_ENV=HOME,,X
`BULKHEAD_PLUGINS_DEFAULTS_ENV`: `` is no name of a variable
BULKHEAD_WORKERS_UIDS=5
`BULKHEAD_WORKERS_UIDS`: `5` is no range of user ids: write "61184..65519", from 1 on
BULKHEAD_PLUGINS_DEFAULTS_INLINE=yes
`BULKHEAD_PLUGINS_DEFAULTS_INLINE`: invalid type: string "yes", expected a boolean
BULKHEAD_PLUGINS_DEFAULTS_SETTINGS=a
`BULKHEAD_PLUGINS_DEFAULTS_SETTINGS`: string values must be quoted, expected literal string
BULKHEAD_PLUGINS_KEEP=-1
`BULKHEAD_PLUGINS_KEEP`: invalid value: integer `-1`, expected a whole number from 0 to 100
BULKHEAD_PLUGINS_RESCAN=2
`BULKHEAD_PLUGINS_RESCAN`: invalid type: integer `2`, expected a duration such as "30s", from 200ms to 1h
BULKHEAD_PLUGINS_CANARY=5
unknown variable `BULKHEAD_PLUGINS_CANARY`
BULKHEAD_SERVER_DRAIN=30
`BULKHEAD_SERVER_DRAIN`: invalid type: integer `30`, expected a duration such as "30s", from 0s to 1day
BULKHEAD_SERVER_LISTEN=8077
`BULKHEAD_SERVER_LISTEN`: `8077` is no address and port: write "127.0.0.1:8077" or "[::1]:8077"
BULKHEAD_JOBS_CALLBACKS_SECRET=whsec_hidden
`BULKHEAD_JOBS_CALLBACKS_SECRET`: what follows `whsec_` is no base64: write `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them
BULKHEAD_JOBS_CALLBACKS_HOSTS=a.example
`BULKHEAD_JOBS_CALLBACKS_HOSTS`: whoever is told of a job must be able to tell that it was this host: set `secret` in [jobs.callbacks] to `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them
BULKHEAD_JOBS_STORE=mysql://me:hidden@host/db
`BULKHEAD_JOBS_STORE`: `mysql://…` is no store of jobs: write "sqlite", or "postgres://user:password@host/database?sslmode=require"
BULKHEAD_LOG=inof
`BULKHEAD_LOG`: `inof` is no level: did you mean `info`?
BULKHEAD_LOG_FORMAT=xml
`BULKHEAD_LOG_FORMAT`: unknown variant `xml`, expected one of `auto`, `text`, `json`
"#;

#[test]
fn the_variable_is_named() {
    for (variable, fault) in pairs(WRONG) {
        check("", &[variable.split_once('=').unwrap()], fault);
    }
}

#[test]
fn whether_only_this_machine_reaches_an_address() {
    let is_local = |listen: &str| {
        let mut config = Config::built_in("state".into());
        config.server.listen = listen.parse().unwrap();
        config.server.is_local()
    };
    for local in [
        "127.0.0.1:0",
        "127.9.9.9:1",
        "[::1]:0",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert!(is_local(local), "{local}");
    }
    for open in [
        "0.0.0.0:80",
        "[::]:80",
        "192.168.1.1:80",
        "[::ffff:10.0.0.1]:80",
    ] {
        assert!(!is_local(open), "{open}");
    }
}

#[test]
fn the_token_of_commands_is_no_setting() {
    check("", &[("BULKHEAD_TOKEN", "bhk_x")], "");
    check("", &[("BULKHEAD_CA_FILE", "ca.pem")], "");
    let of = |value: &str| {
        let environment: Environment = [("BULKHEAD_TOKEN", value)].into_iter().collect();
        environment.token().unwrap()
    };
    assert_eq!(of("bhk_x").as_deref(), Some("bhk_x"));
    assert_eq!(of(""), None);
}

#[test]
fn a_state_must_be_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Sources {
        folder: folder.path().to_owned(),
        ..Sources::default()
    };
    assert!(matches!(read(&nowhere), Err(ConfigError::NoState)));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let bad = OsString::from_vec(vec![0xff]);
    let environment: Environment = [("BULKHEAD_LOG", bad)].into_iter().collect();
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources {
        environment,
        folder: folder.path().to_owned(),
        ..Sources::default()
    };
    let line = read(&sources).unwrap_err().one_line();
    assert_eq!(line, "`BULKHEAD_LOG`: its value is no Unicode text");
}
