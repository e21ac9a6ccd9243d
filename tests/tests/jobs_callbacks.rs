//! Whoever is to be told of a job's end is told by the daemon: signed, until it is heard, and nobody else.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::submit::id;
use bulkhead_tests::wait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const KEY: [u8; 32] = [7; 32];
/// How long a test waits for a word that never comes.
const LIMIT: Duration = Duration::from_secs(30);
/// A moment that no test sees.
const FAR: &str = "2999-12-31T00:00:00Z";

/// A daemon that may tell whoever listens on this machine.
fn daemon() -> Daemon {
    let secret = base64_simd::STANDARD.encode_to_string(KEY);
    let config = format!(
        "[jobs.callbacks]\nhosts = [\"127.0.0.1\"]\ninternal = true\nsecret = \"whsec_{secret}\"\n"
    );
    Daemon::start(&Folder::of(&fixture("fixture-tiny")), &config)
}

fn submit(daemon: &Daemon, url: &str, query: &[(&str, &str)]) -> String {
    let query = [&[("callback_url", url)], query].concat();
    id(&daemon.submit_with("tiny", &json!({}), &query, &[]))
}

#[test]
fn who_did_not_hear_is_told_again_and_can_prove_who_speaks() {
    let (daemon, listener) = (daemon(), Listener::start(&[500, 200]));
    let job = submit(&daemon, &listener.url, &[]);
    let (first, second) = (listener.next(), listener.next());
    for heard in [&first, &second] {
        assert_eq!(heard.line, "POST /hook?a=b HTTP/1.1");
        assert_eq!(heard.headers["content-type"], "application/json");
        assert_eq!(heard.headers["webhook-signature"], heard.signature(&KEY));
        assert_ne!(heard.signature(&[8; 32]), heard.signature(&KEY));
    }
    assert_eq!(first.body, second.body);
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    let said: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(
        (&said["type"], &said["data"]["id"]),
        (&json!("job.ended"), &json!(job))
    );
    assert_eq!(said["data"]["status"], "SUCCESS");
    let result = said["data"]["result_url"].as_str().unwrap();
    assert!(daemon.get(result).body["bytes"].is_u64());

    let told = wait::until("the job to say that it was heard", || {
        let callback = daemon.job(&job)["callback"].clone();
        (!callback["delivered_at"].is_null()).then_some(callback)
    });
    assert_eq!(
        (&told["url"], &told["attempts"], &told["error"]),
        (&json!(listener.url), &json!(2), &Value::Null)
    );
}

#[test]
fn a_job_that_ends_twice_is_told_twice() {
    let (daemon, listener) = (daemon(), Listener::start(&[200]));
    let job = submit(&daemon, &listener.url, &[("not_before", FAR)]);
    assert_eq!(daemon.cancel(&job).status, 200);
    let first = listener.next();
    assert_eq!(daemon.retry(&job).status, 202);
    let second = listener.next();
    let status = |heard: &Heard| {
        let said: Value = serde_json::from_slice(&heard.body).unwrap();
        assert_eq!(said["data"]["id"], job.as_str());
        said["data"]["status"].clone()
    };
    assert_eq!(
        (status(&first), status(&second)),
        (json!("CANCELLED"), json!("SUCCESS"))
    );
    // Else whoever listens takes the second end for the first.
    assert_ne!(first.headers["webhook-id"], second.headers["webhook-id"]);
}

#[test]
fn who_may_not_be_told_is_refused_with_the_job() {
    let daemon = daemon();
    for url in [
        "http://localhost:9/hook",
        "https://example.com/hook",
        "http://127.0.0.2/",
    ] {
        let refused = daemon.submit_with("tiny", &json!({}), &[("callback_url", url)], &[]);
        assert_eq!(refused.status, 403, "{url}: {}", refused.brief());
        assert_eq!(refused.details()["code"], "forbidden");
    }
    assert_eq!(daemon.jobs("kind=all"), Vec::<Value>::new());
}

/// A request as it came.
struct Heard {
    line: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Heard {
    /// The signature that a key makes of it, by the specification: HMAC-SHA256, written out.
    fn signature(&self, key: &[u8; 32]) -> String {
        let (id, time) = (
            &self.headers["webhook-id"],
            &self.headers["webhook-timestamp"],
        );
        let signed = [format!("{id}.{time}.").as_bytes(), &self.body].concat();
        let block = |with: u8| {
            let mut block = [with; 64];
            block.iter_mut().zip(key).for_each(|(it, key)| *it ^= key);
            block
        };
        let inner = Sha256::digest([&block(0x36)[..], &signed].concat());
        let outer = Sha256::digest([&block(0x5c)[..], &inner].concat());
        format!("v1,{}", base64_simd::STANDARD.encode_to_string(outer))
    }

    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let line = lines.remove(0);
        let header = |line: &String| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let headers: HashMap<_, _> = lines.iter().map(header).collect();
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        Self {
            line,
            headers,
            body,
        }
    }
}

/// Somebody who is told; its thread ends with the test.
struct Listener {
    url: String,
    heard: Receiver<Heard>,
}

impl Listener {
    /// Answers the first with the first status, and so on; all that come later with the last.
    fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || answer(&listener, statuses, &sender));
        Self { url, heard }
    }

    fn next(&self) -> Heard {
        self.heard.recv_timeout(LIMIT).expect("it is told")
    }
}

fn answer(listener: &TcpListener, statuses: &[u16], heard: &Sender<Heard>) {
    let last = statuses.last().unwrap();
    for status in statuses.iter().chain(std::iter::repeat(last)) {
        let (mut stream, _) = listener.accept().unwrap();
        let request = Heard::read(&stream);
        let head =
            format!("HTTP/1.1 {status} Any\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        if heard.send(request).is_err() {
            return;
        }
    }
}
