//! `bulkhead bench`: a plugin in a host of the command's own and behind a daemon, and what goes wrong.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;

use bulkhead_tests::cli;
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{self, fixture};
use bulkhead_tests::folder::Folder;
use serde_json::Value;

const TINY: &str = "tiny";
const MISBEHAVES: &str = "misbehaves";

fn folder() -> Folder {
    Folder::of(&fixture("fixture-tiny")).with(&fixture("fixture-misbehaves"))
}

/// The command's arguments before those of a test: a plugin, a picture, and little time.
fn arguments<'a>(plugin: &'a str, picture: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["bench", plugin, picture, "--time", "200ms"], more].concat()
}

fn picture(folder: &Folder) -> String {
    let path = folder.beside("picture.png");
    fs::write(&path, fixtures::picture("qr-ticket.png")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_lane_with_each_number_of_clients_is_a_row() {
    let folder = folder();
    let picture = picture(&folder);
    let plugins = folder.path();
    let plugins = plugins.to_str().unwrap();
    let more = [
        "--plugins",
        plugins,
        "--lane",
        "process,in-process",
        "--clients",
        "1,3",
        "--json",
    ];
    let ended = cli::run(&arguments(TINY, &picture, &more));
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let rows = rows(&ended.stdout);
    let named: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["lane"].as_str().unwrap(),
                row["clients"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("process", 1),
            ("process", 3),
            ("in-process", 1),
            ("in-process", 3)
        ]
    );
    for row in rows {
        assert!(row["calls"].as_u64().unwrap() > 0, "{row}");
        assert!(row["calls_per_second"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["p50_ms"].as_f64() <= row["max_ms"].as_f64(), "{row}");
        assert_eq!(row["failed"], 0, "{row}");
    }
}

#[test]
fn a_daemon_is_called_over_http() {
    let folder = folder();
    let picture = picture(&folder);
    let daemon = Daemon::start(&folder, "");
    let address = daemon.address().to_string();
    let more = ["--daemon", &address, "--clients", "2", "--json"];
    let ended = cli::run(&arguments(TINY, &picture, &more));
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let calls = rows(&ended.stdout)[0]["calls"].as_u64().unwrap();
    let counted = daemon.plugin(TINY)["success_count"].as_u64().unwrap();
    assert!(calls > 0 && counted >= calls, "{calls} of {counted}");
}

#[test]
fn calls_that_fail_are_counted_and_told() {
    let folder = folder();
    let picture = picture(&folder);
    let plugins = folder.path();
    let plugins = plugins.to_str().unwrap();
    let more = [
        "--plugins",
        plugins,
        "--clients",
        "1",
        "--options",
        "{\"way\":\"fail\"}",
    ];
    let ended = cli::run(&arguments(MISBEHAVES, &picture, &more));
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("calls failed; the first:"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("process"), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_measured_is_refused_at_once() {
    let folder = folder();
    let picture = picture(&folder);
    for (more, code, said) in [
        (&["--clients", "0"][..], 2, "a number from 1 to 1024"),
        (&["--time", "1ms"], 2, "a time from 100ms to 10m"),
        (
            &["--lane", "thread"],
            2,
            "there are `process` and `in-process`",
        ),
        (
            &["--daemon", "127.0.0.1:1"],
            69,
            "no daemon at http://127.0.0.1:1",
        ),
    ] {
        let mut all = vec!["bench", TINY, &picture];
        all.extend(more);
        let ended = cli::run(&all);
        assert_eq!(ended.exit, code, "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{more:?}: {}", ended.stderr);
    }
    let ended = cli::run(&["bench", TINY, "no-such.png"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("cannot read `no-such.png`"),
        "{}",
        ended.stderr
    );
}
