//! What the binary tells of its settings and of itself: `config`, `completions`, `man`, colour.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::fixtures::{bulkhead, workspace};
use serde_json::Value;
use tempfile::TempDir;

const FILE: &str = "\
[server]
listen = '127.0.0.1:1'
max_body = '8MiB'
[plugin.qr]
queue = 7
settings = { api_token = 'hunter2', size = 3 }
[jobs]
store = 'postgres://me:hunter2@db.example/jobs'
[jobs.callbacks]
hosts = ['hooks.example.com']
secret = 'whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg=='
";

#[test]
fn show_says_what_holds_and_who_said_so() {
    let place = Place::new(FILE);
    let flags = [
        "config",
        "show",
        "--plugins",
        "/srv/plugins",
        "--state",
        "/srv/state",
    ];
    let variables = [("BULKHEAD_SERVER_DRAIN", "5s"), ("BULKHEAD_LOG", "debug")];
    let shown = place.run(&flags, &variables);
    assert_eq!(shown.exit, 0, "{}", shown.stderr);
    for (line, origin) in [
        ("# state folder: /srv/state", "(--state)"),
        ("listen = \"127.0.0.1:1\"", "# bulkhead.toml:2"),
        ("max_body = \"8MiB\"", "# bulkhead.toml:3"),
        ("drain = \"5s\"", "# BULKHEAD_SERVER_DRAIN"),
        ("dir = \"/srv/plugins\"", "# --plugins"),
        ("level = \"debug\"", "# BULKHEAD_LOG"),
        ("rate = 0", "# default"),
        ("# socket is not set", "# default"),
        ("payloads = \"database\"", "# default"),
        ("queue = 7", "# bulkhead.toml:5"),
        (
            "store = \"postgres://me:***@db.example/jobs\"",
            "# bulkhead.toml:8",
        ),
        ("secret = \"***\"", "# bulkhead.toml:11"),
    ] {
        let mut lines = shown.stdout.lines();
        let found = lines.any(|it| it.starts_with(line) && it.ends_with(origin));
        assert!(found, "{line} {origin}\n{}", shown.stdout);
    }
    assert!(
        !shown.stdout.contains("hunter2") && !shown.stdout.contains("aHVu"),
        "{}",
        shown.stdout
    );

    let json = place.json(&[&flags[..], &["--json"]].concat(), &variables);
    assert_eq!(json["file"], "bulkhead.toml");
    assert_eq!(json["state"]["source"]["name"], "--state");
    let item = |key: &str| {
        let mut items = json["items"].as_array().unwrap().iter();
        items.find(|item| item["key"] == key).unwrap().clone()
    };
    assert_eq!(item("server.listen")["source"]["line"], 2);
    assert_eq!(item("server.drain")["source"]["kind"], "variable");
    assert_eq!(item("plugin.qr.settings")["value"]["api_token"], "***");
    assert_eq!(item("plugin.qr.settings")["value"]["size"], 3);
    assert_eq!(item("server.socket")["value"], Value::Null);
    assert!(!json.to_string().contains("hunter2"));
}

/// What is shown is a file that says the same.
#[test]
fn what_is_shown_can_be_read_again() {
    let place = Place::new("[plugins.defaults]\nmemory = '1GiB'\n[plugin.qr]\ndeadline = '90s'");
    let first = place.run(&["config", "show"], &[]);
    fs::write(place.0.path().join("bulkhead.toml"), &first.stdout).unwrap();
    let values = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.rsplit_once(" # ").map_or(line, |(it, _)| it));
        lines.map(str::trim_end).collect::<Vec<_>>().join("\n")
    };
    let second = place.run(&["config", "show"], &[]);
    assert_eq!((first.exit, second.exit), (0, 0), "{}", second.stderr);
    assert_eq!(values(&first.stdout), values(&second.stdout));
    assert!(
        first.stdout.contains("memory = \"1GiB\""),
        "{}",
        first.stdout
    );
}

#[test]
fn check_says_that_a_file_is_good_and_what_is_odd() {
    let place = Place::new("");
    let good = place.run(&["config", "check"], &[]);
    assert_eq!(
        (good.exit, good.stdout.as_str(), good.stderr.as_str()),
        (0, "bulkhead.toml is good\n", "")
    );

    for (file, key) in [
        ("[server]\ninsecure = true", "server.insecure"),
        (
            "[server]\ninsecure = true\nlisten = '0.0.0.0:80'",
            "server.insecure",
        ),
        (
            "[server]\nsocket = '/run/b'\nsocket_mode = '666'",
            "server.socket_mode",
        ),
        ("[server]\nmax_body = '1GiB'", "server.max_in_flight"),
        (
            "[plugins]\ndir = '/srv/p'\n[plugin.qr]\nwrite = ['/srv']",
            "plugins.dir",
        ),
        ("[plugin.qr]\nlane = 'in-process'", "plugin.qr.lane"),
        (
            "[plugins.defaults]\nlane = 'in-process'",
            "plugins.defaults.lane",
        ),
        ("[plugin.qr]\nwarm = 9\nconcurrency = 2", "plugin.qr.warm"),
        (
            "[plugin.qr]\nthreads = 9\nconcurrency = 2",
            "plugin.qr.threads",
        ),
        (
            "[plugin.qr]\ngrace = '5s'\ndeadline = '1s'",
            "plugin.qr.grace",
        ),
        ("[workers]\nsandbox = 'off'", "workers.sandbox"),
        (
            "[jobs.callbacks]\ninternal = true",
            "jobs.callbacks.internal",
        ),
        (
            "[telemetry]\notlp = 'http://127.0.0.1:4318'\nsample = 0",
            "telemetry.sample",
        ),
    ] {
        let place = Place::new(file);
        let odd = place.run(&["config", "check", "bulkhead.toml"], &[]);
        assert_eq!(
            (odd.exit, odd.stdout.as_str()),
            (0, "bulkhead.toml is good, with 1 warning\n"),
            "{file}"
        );
        assert!(
            odd.stderr.starts_with(&format!("warning: `{key}`: ")),
            "{file}\n{}",
            odd.stderr
        );
        let json = place.json(&["config", "check", "--json"], &[]);
        assert_eq!(
            (&json["good"], &json["warnings"][0]["key"]),
            (&true.into(), &key.into())
        );
    }
}

/// OP-04: each is refused in one line that names the key, with exit code 78, by `check` and by `serve`, and `serve`
/// has made nothing by then.
#[test]
fn op_04_a_bad_configuration_is_refused_whole() {
    for (file, says) in [
        (
            "[server]\nlisen = ''",
            "unknown key `lisen` in [server]: did you mean `listen`?",
        ),
        ("[server]\nlisten = 'here'", "`server.listen`"),
        ("[server\n", "unclosed table"),
        ("[server.tls]\nkey = '/k.pem'", "`server.tls`"),
        (
            "[plugins.defaults]\nmemory = '1KiB'",
            "`plugins.defaults.memory`",
        ),
        ("[plugin.qr]\ninline = true", "`plugin.qr.inline`"),
        (
            "[jobs.callbacks]\nsecret = 'hunter2'",
            "`jobs.callbacks.secret`",
        ),
        ("\u{0}", "1:2"),
        ("[log]\nlevel = 'inof'", "`log.level`"),
    ] {
        let place = Place::new(file);
        for command in [
            &["config", "check"][..],
            &["serve", "--state", "state", "--listen", "127.0.0.1:0"],
        ] {
            let ended = place.run(command, &[]);
            assert_eq!(
                (ended.exit, ended.stdout.as_str()),
                (78, ""),
                "{file}: {}",
                ended.stderr
            );
            assert_eq!(ended.stderr.lines().count(), 1, "{file}: {}", ended.stderr);
            assert!(
                ended.stderr.starts_with("bulkhead: ") && ended.stderr.contains(says),
                "{file}: {}",
                ended.stderr
            );
            assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
            assert!(!place.0.path().join("state").exists(), "{file}");
        }
        let json: Value =
            serde_json::from_str(&place.run(&["config", "check", "--json"], &[]).stdout).unwrap();
        assert_eq!(json["good"], false, "{file}");
    }
    let place = Place::new("");
    let gone = place.run(&["config", "check", "gone.toml"], &[]);
    assert_eq!(gone.exit, 78, "{}", gone.stderr);
    let variable = place.run(&["config", "check"], &[("BULKHEAD_SERVER_LISEN", "x")]);
    assert_eq!(variable.exit, 78);
    assert!(
        variable
            .stderr
            .contains("did you mean `BULKHEAD_SERVER_LISTEN`?"),
        "{}",
        variable.stderr
    );
}

#[test]
fn the_example_is_good_and_the_schema_is_one() {
    let example = workspace().join("host/packaging/bulkhead.toml");
    let place = Place::new("");
    let ended = place.run(&["config", "check", example.to_str().unwrap()], &[]);
    assert_eq!(
        (ended.exit, ended.stderr.as_str()),
        (0, ""),
        "{}",
        ended.stdout
    );
    let schema = place.json(&["config", "schema"], &[]);
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let listen = &schema["properties"]["server"]["properties"]["listen"];
    assert_eq!(listen["default"], "127.0.0.1:8077");
}

#[test]
fn shells_and_readers_of_manuals_are_served() {
    let place = Place::new("");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell], &[]);
        assert_eq!((script.exit, script.stderr.as_str()), (0, ""), "{shell}");
        for word in ["rollback", "submit", "schema"] {
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
    }
    let path = place.0.path();
    fs::write(
        path.join("bash"),
        place.run(&["completions", "bash"], &[]).stdout,
    )
    .unwrap();
    if let Ok(checked) = Command::new("bash")
        .arg("-n")
        .arg(path.join("bash"))
        .status()
    {
        assert!(checked.success(), "bash does not take its completions");
    }
    assert_eq!(place.run(&["completions", "tcsh"], &[]).exit, 2);

    let written = place.run(&["man", "pages"], &[]);
    assert_eq!(
        (written.exit, written.stdout.as_str()),
        (0, ""),
        "{}",
        written.stderr
    );
    for page in [
        "bulkhead",
        "bulkhead-serve",
        "bulkhead-plugins-rollback",
        "bulkhead-config-check",
        "bulkhead-jobs-submit",
    ] {
        let text = fs::read_to_string(path.join("pages").join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}");
    }
    let first = place.run(&["man"], &[]).stdout;
    assert!(
        first.contains("Exit codes:") && first.contains("78"),
        "{first}"
    );
    assert_eq!(place.run(&["man", "bulkhead.toml"], &[]).exit, 74);
}

#[test]
fn help_has_examples_and_the_exit_codes() {
    let place = Place::new("");
    let help = place.run(&["--help"], &[]);
    assert_eq!(help.exit, 0);
    for code in ["0", "1", "2", "69", "74", "75", "78"] {
        let starts = |line: &str| line.trim_start().starts_with(&format!("{code} "));
        assert!(help.stdout.lines().any(starts), "{code}: {}", help.stdout);
    }
    for command in ["serve", "analyze", "plugins", "jobs"] {
        let help = place.run(&[command, "--help"], &[]).stdout;
        assert!(help.contains("Examples:\n  bulkhead "), "{command}: {help}");
    }
}

#[test]
fn colour_is_there_when_it_is_wanted() {
    let place = Place::new("");
    fs::create_dir(place.0.path().join("plugins")).unwrap();
    fs::write(place.0.path().join("plugins/broken.so"), "no library").unwrap();
    let is_coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let ended = place.run(&[arguments, &["plugins"]].concat(), variables);
        assert!(
            ended.stdout.contains("broken"),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
        ended.stdout.contains('\u{1b}')
    };
    assert!(!is_coloured(&[], &[]));
    assert!(!is_coloured(&["--color", "never"], &[]));
    assert!(is_coloured(&["--color", "always"], &[]));
    assert!(!is_coloured(&["--color", "auto"], &[("NO_COLOR", "1")]));
    assert_eq!(place.run(&["--color", "sometimes", "plugins"], &[]).exit, 2);
}

struct Ended {
    exit: i32,
    stdout: String,
    stderr: String,
}

/// A working directory with a `bulkhead.toml` in it.
struct Place(TempDir);

impl Place {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bulkhead.toml"), file).unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(absolute(&bulkhead()));
        command
            .env_clear()
            .current_dir(self.0.path())
            .args(arguments);
        command
            .env("HOME", self.0.path())
            .envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended {
            exit: output.status.code().expect("no signal has ended it"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn json(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
        let ended = self.run(arguments, variables);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap()
}
