//! `bulkhead jobs` against a daemon: what it prints, how it ends, and that it goes on where it was cut off.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use bulkhead_tests::cli::{self, Ended};
use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{bulkhead, fixture};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::relay::Relay;
use serde_json::Value;

const TINY: &str = "tiny";
const MISBEHAVES: &str = "misbehaves";
const PICTURES: usize = 50;
/// So many pictures are acknowledged before something is cut off.
const FEW: usize = 20;

/// What was accepted without the command's knowledge is not accepted a second time.
#[test]
fn a_submission_that_was_killed_goes_on_with_its_journal() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let relay = Relay::to(daemon.address());
    let pictures = pictures(&folder, PICTURES);
    let journal = folder.beside("journal");
    let arguments = |at: &str| {
        let arguments = [
            "jobs",
            "submit",
            TINY,
            text(&pictures),
            "--concurrency",
            "4",
        ];
        let journal = ["--journal", text(&journal), "--daemon", at];
        [&arguments[..], &journal]
            .concat()
            .iter()
            .map(|it| (*it).to_owned())
            .collect::<Vec<_>>()
    };
    relay.hold_after(FEW);
    let mut command = Running::start(&arguments(&relay.address().to_string()));
    relay.wait_for_held(4);
    let printed = command.lines(FEW);
    command.kill();
    assert_eq!(listed(&daemon).len(), FEW + 4);
    let noted = fs::read_to_string(&journal).unwrap();
    assert_eq!(noted.lines().count(), 1 + FEW, "{noted}");
    // The kill came in the midst of a line.
    let mut file = fs::File::options().append(true).open(&journal).unwrap();
    file.write_all(br#"{"path":"to"#).unwrap();

    for _ in 0..2 {
        let ended = run(&arguments(&daemon.address().to_string()));
        assert_eq!((ended.exit, &*ended.stderr), (0, ""), "{ended:?}");
        let ids: BTreeSet<_> = ended.stdout.lines().map(str::to_owned).collect();
        assert_eq!(ids.len(), PICTURES);
        assert!(printed.is_subset(&ids));
        assert_eq!(listed(&daemon), ids);
    }
    // Without the journal it is another submission.
    let again = arguments(&daemon.address().to_string());
    let ended = run(&[&again[..6], &again[8..]].concat());
    assert_eq!(ended.exit, 0, "{ended:?}");
    assert_eq!(listed(&daemon).len(), 2 * PICTURES);
}

#[test]
fn a_submission_outlives_its_daemon() {
    let folder = folder();
    let mut daemon = Daemon::start(&folder, "");
    let relay = Relay::to(daemon.address());
    let pictures = pictures(&folder, PICTURES);
    relay.hold_after(FEW);
    let arguments = [
        "jobs",
        "submit",
        TINY,
        text(&pictures),
        "--patience",
        "60s",
        "--concurrency",
        "4",
    ];
    let at = relay.address().to_string();
    let mut command = Running::start(&[&arguments[..], &["--daemon", &at]].concat());
    relay.wait_for_held(4);
    daemon.kill();
    let before = command.lines(FEW);
    drop(daemon);
    let daemon = Daemon::start(&folder, "");
    // Those that were held hear nothing any more.
    relay.lead_to(daemon.address());
    let (exit, rest) = command.end();
    assert_eq!(exit, Some(0));
    let ids: BTreeSet<_> = before.union(&rest).cloned().collect();
    assert_eq!((ids.len(), rest.len()), (PICTURES, PICTURES - FEW));
    assert_eq!(listed(&daemon), ids);
}

#[test]
fn patience_ends_and_says_how_to_go_on() {
    let folder = folder();
    let pictures = pictures(&folder, 3);
    let relay = Relay::to_nobody();
    let at = relay.address().to_string();
    let submit = [
        "submit",
        TINY,
        text(&pictures),
        "--patience",
        "1ms",
        "--daemon",
        &at,
    ];
    let ended = jobs(&submit);
    assert_eq!((ended.exit, &*ended.stdout), (69, ""), "{ended:?}");
    let expected = "0 of 3 pictures were accepted; with --journal FILE";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let ended = jobs(&[&submit[..], &["--once"]].concat());
    let expected = "give the same command again to go on";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn the_same_command_makes_the_same_jobs_once() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let at = daemon.address().to_string();
    let pictures = pictures(&folder, 3);
    let submit = ["submit", TINY, text(&pictures), "--once", "--daemon", &at];
    let [first, second] = [0, 1].map(|_| jobs(&submit));
    assert_eq!((first.exit, second.exit), (0, 0), "{first:?} {second:?}");
    let ids = |ended: &Ended| {
        ended
            .stdout
            .lines()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&first).len(), 3);
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(listed(&daemon), ids(&first));
}

#[test]
fn results_are_waited_for_and_printed() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let at = daemon.address().to_string();
    let pictures = pictures(&folder, 2);
    fs::write(pictures.join("notes.txt"), "no picture").unwrap();
    let submit = ["submit", TINY, text(&pictures), "--wait", "--daemon", &at];
    let ended = jobs(&submit);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let results: Vec<Value> = documents(&ended.stdout);
    assert_eq!(results.len(), 2);
    assert!(
        results.iter().all(|result| result["bytes"] == 9),
        "{results:?}"
    );

    let ended = jobs(&[&submit[..], &["--json"]].concat());
    assert_eq!(ended.exit, 0, "{ended:?}");
    let lines: Vec<Value> = documents(&ended.stdout);
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((lines.len(), of("accepted"), of("ended")), (4, 2, 2));
    assert!(
        lines[2..]
            .iter()
            .all(|line| line["job"]["status"] == "SUCCESS")
    );
}

#[test]
fn a_job_that_fails_is_told_retried_and_waited_for() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let at = daemon.address().to_string();
    let pictures = pictures(&folder, 1);
    let fails = [
        "--options",
        r#"{"way":"fail"}"#,
        "--max-attempts",
        "1",
        "--type",
        "image/png",
    ];
    let submit = [
        "submit",
        MISBEHAVES,
        text(&pictures),
        "--wait",
        "--daemon",
        &at,
    ];
    let ended = jobs(&[&submit[..], &fails].concat());
    assert_eq!((ended.exit, &*ended.stdout), (1, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("ExecutionError failed: "),
        "{}",
        ended.stderr
    );

    let id = listed(&daemon).pop_first().unwrap();
    let ended = jobs(&["wait", &id, "--daemon", &at]);
    assert_eq!((ended.exit, ended.stdout), (1, format!("{id} FAILED\n")));
    let ended = jobs(&["retry", &id, "--daemon", &at]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let ended = jobs(&["wait", &id, "--json", "--daemon", &at]);
    assert_eq!(documents(&ended.stdout)[0]["attempt"], 1, "{ended:?}");
    let ended = jobs(&["show", &id, "--daemon", &at]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    for expected in [&id, "FAILED", "ExecutionError failed: "] {
        assert!(
            ended.stdout.contains(expected),
            "{expected}: {}",
            ended.stdout
        );
    }
    let ended = jobs(&[
        "show",
        &id,
        "--save",
        text(&folder.beside("saved")),
        "--daemon",
        &at,
    ]);
    assert_eq!(ended.exit, 1, "{ended:?}");
}

#[test]
fn what_goes_on_is_left_alone_or_cancelled() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let at = daemon.address().to_string();
    let pictures = pictures(&folder, 2);
    let later = ["--not-before", "1h", "--daemon", &at];
    let ended = jobs(&[&["submit", TINY, text(&pictures)][..], &later].concat());
    assert_eq!(ended.exit, 0, "{ended:?}");
    let ids: Vec<_> = ended.stdout.lines().collect();
    let ended = jobs(&[&["wait"][..], &ids, &["--timeout", "1ms", "--daemon", &at]].concat());
    assert_eq!((ended.exit, &*ended.stdout), (75, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("2 of 2 jobs had not ended"),
        "{}",
        ended.stderr
    );

    // As a pipe from `list --json` has it.
    let listed = jobs(&["list", "--json", "--status", "pending", "--daemon", &at]);
    assert_eq!(documents(&listed.stdout).len(), 2, "{listed:?}");
    let ended = jobs_reading(&["cancel", "-", "--daemon", &at], &listed.stdout);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let told: BTreeSet<_> = ended.stdout.lines().collect();
    let expected: Vec<_> = ids.iter().map(|id| format!("{id} CANCELLED")).collect();
    assert_eq!(told, expected.iter().map(String::as_str).collect());
    let table = jobs(&["list", "--status", "cancelled", "--daemon", &at]);
    for expected in ids {
        assert!(table.stdout.contains(expected), "{}", table.stdout);
    }
    assert!(!table.stdout.contains('\x1b'), "{}", table.stdout);
}

#[test]
fn results_and_attachments_are_saved() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let at = daemon.address().to_string();
    let pictures = pictures(&folder, 1);
    let attaches = [
        "--options",
        r#"{"way":"attach","size":5000}"#,
        "--daemon",
        &at,
    ];
    let ended = jobs(
        &[
            &["submit", MISBEHAVES, text(&pictures), "--wait"][..],
            &attaches,
        ]
        .concat(),
    );
    assert_eq!(ended.exit, 0, "{ended:?}");
    let id = listed(&daemon).pop_first().unwrap();
    let saved = folder.beside("saved");
    let ended = jobs(&[
        "show",
        &id,
        "--json",
        "--save",
        text(&saved),
        "--daemon",
        &at,
    ]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let record: Value = serde_json::from_str(&ended.stdout).unwrap();
    let result: Value =
        serde_json::from_slice(&fs::read(saved.join("result.json")).unwrap()).unwrap();
    assert_eq!(result, record["result"]);
    let name = record["attachments"][0]["name"].as_str().unwrap();
    assert_eq!(fs::read(saved.join(name)).unwrap().len(), 5000);
}

#[test]
fn what_is_refused_is_told() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let at = daemon.address().to_string();
    let pictures = pictures(&folder, 2);
    let unknown = "01936f2e-8f0a-7c00-8000-000000000001";
    for (arguments, exit, expected) in [
        (
            &["submit", "gone", text(&pictures), "--daemon", &at][..],
            1,
            "plugin_not_found",
        ),
        (
            &["submit", TINY, "gone.png", "--daemon", &at],
            1,
            "cannot read `gone.png`",
        ),
        (&["show", unknown, "--daemon", &at], 1, "(not_found)"),
        (&["wait", unknown, "--daemon", &at], 1, "(not_found)"),
        (&["cancel", unknown, "--daemon", &at], 1, "(not_found)"),
        (&["retry", unknown, "--daemon", &at], 1, "(not_found)"),
        (&["wait", "x", "--daemon", &at], 2, "x"),
        (&["submit", TINY, "--daemon", &at], 2, "PATH"),
        (&["list", "--status", "gone", "--daemon", &at], 2, "pending"),
    ] {
        let ended = jobs(arguments);
        assert_eq!(
            (ended.exit, &*ended.stdout),
            (exit, ""),
            "{arguments:?}: {ended:?}"
        );
        assert!(
            ended.stderr.contains(expected),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    let notes = folder.beside("notes");
    fs::write(&notes, "no journal").unwrap();
    let ended = jobs(&[
        "submit",
        TINY,
        text(&pictures),
        "--journal",
        text(&notes),
        "--daemon",
        &at,
    ]);
    assert_eq!(ended.exit, 2, "{ended:?}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "no journal");
}

fn folder() -> Folder {
    Folder::of(&fixture("fixture-tiny")).with(&fixture("fixture-misbehaves"))
}

/// A folder with so many pictures, all of them different, up to 10 of 9 bytes.
fn pictures(folder: &Folder, count: usize) -> PathBuf {
    let pictures = folder.beside("pictures");
    fs::create_dir(&pictures).unwrap();
    for number in 0..count {
        let bytes = [b"\x89PNG\r\n\x1a\n", number.to_string().as_bytes()].concat();
        fs::write(pictures.join(format!("{number}.png")), bytes).unwrap();
    }
    pictures
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The ids of all jobs.
fn listed(daemon: &Daemon) -> BTreeSet<String> {
    let at = daemon.address().to_string();
    let ended = jobs(&["list", "--all", "--json", "--daemon", &at]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let all = documents(&ended.stdout);
    let ids = all.iter().map(|job| job["id"].as_str().unwrap().to_owned());
    let ids: BTreeSet<_> = ids.collect();
    assert_eq!(ids.len(), all.len());
    ids
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_str(text).into_iter();
    documents.map(Result::unwrap).collect()
}

fn jobs(arguments: &[&str]) -> Ended {
    cli::run(&[&["jobs"], arguments].concat())
}

fn run(arguments: &[String]) -> Ended {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    cli::run(&arguments)
}

/// The same, with something to read.
fn jobs_reading(arguments: &[&str], stdin: &str) -> Ended {
    let mut command = Command::new(bulkhead());
    command.env_clear().arg("jobs").args(arguments);
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = streams.stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended {
        exit: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A command that runs, ended with its drop.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Self {
        let mut command = Command::new(bulkhead());
        command.env_clear().args(arguments).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The next lines that it prints.
    fn lines(&mut self, count: usize) -> BTreeSet<String> {
        let lines = self.stdout.by_ref().lines().take(count);
        let lines: BTreeSet<_> = lines.map(Result::unwrap).collect();
        assert_eq!(lines.len(), count);
        lines
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ends, and what it prints until then.
    fn end(mut self) -> (Option<i32>, BTreeSet<String>) {
        let lines = self.stdout.by_ref().lines().map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then both are no-ops.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
