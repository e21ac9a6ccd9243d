//! What is no request, or could be taken for two: over raw sockets.

use std::io::Write;
use std::thread;
use std::time::Duration;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::raw::{self, talk};

const POST: &str =
    "POST /v1/analyze?plugin=nobody HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/gif\r\n";
const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn daemon() -> Daemon {
    Daemon::start(&Folder::new(), "")
}

/// These bytes are refused, and nothing behind them is read.
#[track_caller]
fn refused(daemon: &Daemon, bytes: &str, expected: &str) {
    let whole = format!("{GET}{bytes}{GET}");
    let answers = talk(daemon.address(), whole);
    let told: Vec<_> = answers.iter().map(raw::RawAnswer::brief).collect();
    assert_eq!(answers.len(), 2, "{bytes:?}: {told:?}");
    assert_eq!(told[0], "200");
    assert!(told[1].starts_with(expected), "{bytes:?}: {told:?}");
    assert_eq!(answers[1].header("content-type"), Some("application/json"));
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let daemon = daemon();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let check = |headers: &str, expected: &str| {
        refused(
            &daemon,
            &format!("{POST}{headers}\r\n0\r\n\r\n"),
            &format!("400 malformed_request: {expected}"),
        );
    };
    check(&format!("Content-Length: 5\r\n{chunked}"), "there are both");
    check(&format!("{chunked}Content-Length: 5\r\n"), "there are both");
    check(
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "there are several Content-Length",
    );
    check(
        "Content-Length: 5, 5\r\n",
        "the Content-Length is no number",
    );
    check("Content-Length: +5\r\n", "the Content-Length is no number");
    check("Content-Length : 5\r\n", "");
    check(
        "Content-Length: 18446744073709551615\r\n",
        "the Content-Length is no number",
    );
    check("Host: localhost\r\n", "there are several Host headers");
    refused(
        &daemon,
        "GET /healthz HTTP/1.1\r\n\r\n",
        "400 malformed_request: there is no Host header",
    );
    check(
        "Transfer-Encoding: gzip, chunked\r\n",
        "the Transfer-Encoding is not",
    );
    check(
        "Transfer-Encoding: \u{b}chunked\r\n",
        "the Transfer-Encoding is not",
    );
    check(
        &format!("{chunked}{chunked}"),
        "the Transfer-Encoding is not",
    );
    check(
        "X-A: b\n",
        "a line of the request's head ends with a line feed alone",
    );
    check("X-A: b\r\n c\r\n", "a header goes on in a second line");
    check("X-A: b\rc\r\n", "");
    refused(
        &daemon,
        "GET / HTTP/1.1\nHost: localhost\n\n",
        "400 malformed_request: a line",
    );
}

#[test]
fn what_is_no_http_is_told_so() {
    let daemon = daemon();
    let none = "400 malformed_request: the head of the request is not HTTP/1.1";
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "{\"a\": 1}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
    ] {
        refused(&daemon, bytes, none);
    }
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let answers = talk(daemon.address(), hello);
    let expected =
        "400 malformed_request: this port speaks plain HTTP, and the client began with TLS";
    assert!(answers[0].brief().starts_with(expected), "{answers:?}");
}

#[test]
fn ht_08_what_is_no_chunked_body_is_refused() {
    let daemon = daemon();
    let head = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    for body in [
        "zz\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "3\nGIF\r\n0\r\n\r\n",
        "3\r\nGIF0\r\n\r\n",
        "3;a\nb\r\nGIF\r\n0\r\n\r\n",
        "3\r\nGIF\r\n0\r\nX: y\n\r\n",
        "3\r\nGIF\r\n0\r\n\n",
    ] {
        refused(&daemon, &format!("{head}{body}"), "400 malformed_request: ");
    }
}

#[test]
fn ht_10_too_large_a_head_is_refused() {
    let daemon = daemon();
    let many = "X-A: b\r\n".repeat(101);
    refused(
        &daemon,
        &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        "431 headers_too_large: ",
    );
    let before = daemon.resident();
    for name in ["X-A: ", "Cookie: "] {
        let long = "b".repeat(64 << 10);
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{name}{long}\r\n\r\n");
        refused(&daemon, &request, "431 headers_too_large: ");
    }
    let path = "a".repeat(64 << 10);
    refused(
        &daemon,
        &format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "431 headers_too_large: ",
    );
    assert!(daemon.resident() < before + (16 << 20));
}

#[test]
fn ht_19_pipelined_requests_are_answered_in_their_order() {
    let daemon = daemon();
    let mut requests = String::new();
    for number in 0..100 {
        let id = format!("X-Request-Id: r-{number}\r\n");
        requests += &match number % 3 {
            0 => format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{id}\r\n"),
            1 => format!("{POST}{id}Content-Length: 6\r\n\r\n\n\nGET "),
            _ => format!(
                "{POST}{id}Transfer-Encoding: chunked\r\n\r\n4;x=y\r\n\r\n\r\n\r\n0\r\nX: y\r\n\r\n"
            ),
        };
    }
    let answers = talk(daemon.address(), format!("{requests}{LAST}"));
    assert_eq!(answers.len(), 101);
    for (number, answer) in answers[..100].iter().enumerate() {
        let id = format!("r-{number}");
        assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
        let expected = if number % 3 == 0 { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{answer:?}");
    }
}

#[test]
fn requests_may_come_byte_by_byte() {
    let daemon = daemon();
    let request = format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nGIF\r\n0\r\n\r\n{LAST}");
    let mut client = raw::send(daemon.address(), "");
    client.set_nodelay(true).unwrap();
    for byte in request.bytes() {
        client.write_all(&[byte]).unwrap();
        // So that they do not come together.
        thread::sleep(Duration::from_micros(300));
    }
    let answers = raw::answers(&raw::read(client));
    let statuses: Vec<_> = answers.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [404, 200]);
}
