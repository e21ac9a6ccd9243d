//! Submissions to a daemon that answers as it is told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use ureq::tls::RootCerts;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A request as the daemon has seen it.
#[derive(Debug)]
struct Seen {
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_default()
    }

    fn key(&self) -> &str {
        self.header("idempotency-key")
    }
}

/// A daemon that answers the requests with these, in their turn, and then goes; what comes behind the requests tells
/// what it has seen.
fn daemon(answers: Vec<String>) -> (Daemon, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, seen) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (client, _) = listener.accept().unwrap();
            let request = read(&client);
            (&client).write_all(answer.as_bytes()).unwrap();
            sender.send(request).unwrap();
        }
    });
    (
        Daemon::at(address.parse().unwrap(), None, RootCerts::WebPki),
        seen,
    )
}

fn read(client: &TcpStream) -> Seen {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let mut seen = Seen {
        head,
        body: Vec::new(),
    };
    if seen.header("expect") == "100-continue" {
        let mut client = client;
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    }
    let length = seen.header("content-length").parse().unwrap();
    reader.take(length).read_to_end(&mut seen.body).unwrap();
    seen
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

fn accepted(job: u128) -> String {
    let id = Uuid::from_u128(job);
    answer("202 Accepted", "", &format!(r#"{{"id":"{id}"}}"#))
}

fn refused(status: &str, code: &str) -> String {
    let body = format!(r#"{{"error":{{"message":"no","details":{{"code":"{code}"}}}}}}"#);
    answer(status, "", &body)
}

/// A folder with so many pictures.
fn folder(pictures: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..pictures {
        let bytes = [PNG, number.to_string().as_bytes()].concat();
        fs::write(folder.path().join(format!("{number}.png")), bytes).unwrap();
    }
    folder
}

fn plan(run: Run, accepted: Accepted, patience: Span) -> Plan {
    Plan {
        query: vec![("plugin", "tiny".to_owned())],
        mime_type: None,
        plugin: "tiny".to_owned(),
        run,
        accepted,
        // One after the other, as the answers are.
        hands: 1,
        patience,
        is_resumable: true,
        tells_ids: false,
        json: false,
    }
}

fn submit(
    daemon: &Daemon,
    folder: &Path,
    patience: Span,
) -> Result<(Exit, Vec<Submitted>), Failure> {
    let plan = plan(Run::once("tiny", None), Accepted::new(), patience);
    plan.submit(daemon, find::find(&[folder.to_owned()], false), None)
}

const PATIENT: Span = Span::seconds(60);

#[test]
fn what_passes_is_tried_again_under_the_same_key() {
    let (daemon, seen) = daemon(vec![
        refused("503 Service Unavailable", "plugin_unavailable"),
        refused("507 Insufficient Storage", "storage_full"),
        refused("429 Too Many Requests", "overloaded"),
        // It goes without a word.
        String::new(),
        accepted(1),
        accepted(2),
    ]);
    let folder = folder(2);
    let (exit, jobs) = submit(&daemon, folder.path(), PATIENT).unwrap();
    let ids: Vec<_> = jobs.iter().map(|(id, _)| id.as_u128()).collect();
    assert_eq!((exit, &ids[..]), (Exit::Success, &[1, 2][..]));
    let seen: Vec<_> = seen.iter().collect();
    assert!(seen[..5].iter().all(|it| it.key() == seen[0].key()));
    assert_ne!(seen[0].key(), seen[5].key());
    assert_eq!(seen[0].key().len(), 64);
    for (at, request) in seen.iter().enumerate() {
        assert!(request.head.starts_with("POST /v1/jobs?plugin=tiny "));
        assert_eq!(request.header("content-type"), "image/png");
        let number = if at < 5 { "0" } else { "1" };
        assert_eq!(request.body, [PNG, number.as_bytes()].concat());
    }
}

#[test]
fn one_picture_is_refused_and_the_others_go_on() {
    let (daemon, seen) = daemon(vec![
        refused("422 Unprocessable Entity", "image_mismatch"),
        accepted(2),
    ]);
    let folder = folder(2);
    fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    let (exit, jobs) = submit(&daemon, folder.path(), PATIENT).unwrap();
    assert_eq!((exit, jobs.len()), (Exit::Failed, 1));
    assert_eq!(seen.iter().count(), 2);
}

#[test]
fn what_all_are_refused_for_ends_it() {
    let (daemon, seen) = daemon(vec![
        accepted(1),
        refused("404 Not Found", "plugin_not_found"),
    ]);
    let folder = folder(9);
    let failure = submit(&daemon, folder.path(), PATIENT).unwrap_err();
    assert_eq!(failure.exit(), Exit::Failed);
    let line = failure.line();
    assert_eq!(line, "no (plugin_not_found): 1 of 9 pictures were accepted");
    assert_eq!(seen.iter().count(), 2);
}

#[test]
fn a_journal_goes_on_where_the_daemon_went_away() {
    let folder = folder(3);
    let journal = tempfile::tempdir().unwrap();
    let journal = journal.path().join("journal");
    let run = |daemon: &Daemon| {
        let (journal, accepted) = Journal::open(&journal).unwrap();
        let run = Run::named(journal.run, "tiny", None);
        let plan = plan(run, accepted, Span::millis(1));
        let found = find::find(&[folder.path().to_owned()], false);
        plan.submit(daemon, found, Some(journal))
    };
    let (first, _seen) = daemon(vec![accepted(1)]);
    let failure = run(&first).unwrap_err();
    assert_eq!(failure.exit(), Exit::Unavailable);
    let line = failure.line();
    assert!(
        line.contains("1 of 3 pictures were accepted; give the same"),
        "{line}"
    );

    let (second, seen) = daemon(vec![accepted(2), accepted(3)]);
    let (exit, jobs) = run(&second).unwrap();
    let mut ids: Vec<_> = jobs.iter().map(|(id, _)| id.as_u128()).collect();
    ids.sort_unstable();
    assert_eq!((exit, &ids[..]), (Exit::Success, &[1, 2, 3][..]));
    assert_eq!(seen.iter().count(), 2);

    // One has changed since then, which makes it another picture.
    fs::write(folder.path().join("0.png"), PNG).unwrap();
    let (third, seen) = daemon(vec![accepted(4)]);
    assert_eq!(run(&third).unwrap().1.len(), 3);
    assert_eq!(seen.iter().count(), 1);
}

#[test]
fn a_large_picture_is_sent_as_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![3; 5 << 20];
    bytes[..8].copy_from_slice(PNG);
    fs::write(folder.path().join("large.png"), &bytes).unwrap();
    let (daemon, seen) = daemon(vec![
        refused("503 Service Unavailable", "plugin_unavailable"),
        accepted(1),
    ]);
    submit(&daemon, folder.path(), PATIENT).unwrap();
    for request in seen {
        assert_eq!(request.header("expect"), "100-continue");
        assert!(request.header("transfer-encoding").is_empty());
        assert!(request.body == bytes);
    }
}
