//! Clients that are slow, greedy or gone, and what the edge is told by its settings: over raw sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_tests::cli;
use bulkhead_tests::daemon::{Daemon, IMAGE, way};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::raw::{self, RawAnswer, talk};
use bulkhead_tests::wait;
use rustix::net::sockopt;
use serde_json::json;

const PLUGIN: &str = "misbehaves";
const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn start(config: &str) -> Daemon {
    Daemon::start(&Folder::of(&fixture("fixture-misbehaves")), config)
}

/// A request with a body that is still to come.
fn post(headers: &str) -> String {
    format!(
        "POST /v1/analyze?plugin={PLUGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/x-any\r\n{headers}\r\n"
    )
}

fn only(answers: &[RawAnswer]) -> &RawAnswer {
    assert_eq!(answers.len(), 1, "{answers:?}");
    &answers[0]
}

#[test]
fn ht_02_who_says_nothing_is_not_waited_for() {
    let daemon = start("server.header_timeout = '300ms'");
    for bytes in [
        "",
        "P",
        "GET /healthz HT",
        "GET /healthz HTTP/1.1\r\nHost: loc",
        "PRI * HTTP/2.0\r\n\r\nSM",
    ] {
        assert_eq!(
            raw::read(raw::send(daemon.address(), bytes)),
            b"",
            "{bytes}"
        );
    }
    // The same holds between two requests.
    let answers = talk(
        daemon.address(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(only(&answers).status, 200);
}

#[test]
fn ht_03_a_slow_body_is_given_up() {
    let daemon = start("server.body_timeout = '400ms'");
    let mut client = raw::send(daemon.address(), post("Content-Length: 1000\r\n"));
    let mut slow = client.try_clone().unwrap();
    let drip = thread::spawn(move || {
        while slow.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    answer.extend(raw::read(client));
    let answer = only(&raw::answers(&answer)).clone();
    assert!(
        answer.brief().starts_with("408 request_timeout: "),
        "{}",
        answer.brief()
    );
    drip.join().unwrap();
}

#[test]
fn ht_05_a_chunked_body_is_counted() {
    let daemon = start("server.max_body = '64KiB'");
    let mut client = raw::send(daemon.address(), post("Transfer-Encoding: chunked\r\n"));
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    for _ in 0..8 {
        client.write_all(&chunk).unwrap();
    }
    let answers = raw::answers(&raw::read(client));
    let brief = only(&answers).brief();
    assert!(brief.starts_with("413 payload_too_large: "), "{brief}");
}

#[test]
fn ht_18_who_hangs_up_in_an_answer_is_forgotten() {
    let daemon = start("");
    for _ in 0..3 {
        let options = "%7B%22way%22%3A%22attach%22%2C%22size%22%3A8000000%7D";
        let request = format!(
            "POST /v1/analyze?plugin={PLUGIN}&options={options} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: image/x-any\r\nContent-Length: 1\r\n\r\nx"
        );
        let mut client = raw::send(daemon.address(), request);
        let mut some = [0; 100];
        client.read_exact(&mut some).unwrap();
        assert!(some.starts_with(b"HTTP/1.1 200"));
        sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(daemon.call(PLUGIN, &json!({})).status, 200);
    assert!(!daemon.log().contains("panic"), "{}", daemon.log());
}

#[test]
fn ht_20_nothing_is_unpacked() {
    let daemon = start("");
    let bomb = post("Content-Encoding: gzip\r\nContent-Length: 10\r\nConnection: close\r\n");
    let answers = talk(daemon.address(), format!("{bomb}\u{1f}~~~~~~~~~"));
    let brief = only(&answers).brief();
    assert!(brief.starts_with("415 unsupported_media_type: "), "{brief}");
}

#[test]
fn ht_21_a_body_that_was_expected_and_never_came_is_given_up() {
    let daemon = start("server.body_timeout = '400ms'");
    let answers = talk(
        daemon.address(),
        post("Content-Length: 9\r\nExpect: 100-continue\r\n"),
    );
    assert_eq!(answers[0].status, 100, "{answers:?}");
    let brief = only(&answers[1..]).brief();
    assert!(brief.starts_with("408 request_timeout: "), "{brief}");
}

#[test]
fn ht_22_what_is_too_much_is_refused_and_the_rest_is_served() {
    let daemon = start("[plugins.defaults]\nconcurrency = 2\nqueue = 4");
    let options = json!({"way": "hang", "millis": 150});
    let answers: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..60)
            .map(|_| scope.spawn(|| daemon.call(PLUGIN, &options)))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert!(served.len() >= 6, "{}", served.len());
    assert!(!refused.is_empty());
    for answer in refused {
        let brief = answer.brief();
        assert!(brief.starts_with("429 PluginError overloaded: "), "{brief}");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(daemon.call(PLUGIN, &json!({})).status, 200);
}

#[test]
fn ht_23_without_descriptors_the_host_waits_for_some() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let daemon = Daemon::start_behind(&folder, "", &["prlimit", "--nofile=64:64"]);
    let clients: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(daemon.address()).unwrap())
        .collect();
    wait::until("the host to run out of descriptors", || {
        daemon
            .log()
            .contains("cannot accept connections")
            .then_some(())
    });
    drop(clients);
    let answers = talk(daemon.address(), ASK);
    assert_eq!(only(&answers).status, 200);
    let told = daemon.log().matches("cannot accept connections").count();
    assert!(told < 20, "it is told {told} times");
}

#[test]
fn who_never_reads_is_not_sent_to_for_ever() {
    let daemon = start("server.send_timeout = '500ms'");
    assert_eq!(daemon.call(PLUGIN, &json!({})).status, 200);
    let options = "%7B%22way%22%3A%22attach%22%2C%22size%22%3A12000000%7D";
    let request = format!(
        "POST /v1/analyze?plugin={PLUGIN}&options={options} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: image/x-any\r\nContent-Length: 1\r\n\r\nx"
    );
    let client = raw::send(daemon.address(), request);
    wait::until("the answer to come", || {
        let mut some = [0; 12];
        (client.peek(&mut some).unwrap() == 12).then_some(())
    });
    let before = Instant::now();
    wait::until("the connection to be cut", || {
        let port = client.local_addr().unwrap().port();
        (!is_connected(&daemon, port)).then_some(())
    });
    assert!(before.elapsed() >= Duration::from_millis(200));
    let came = raw::read(client);
    assert!(came.len() < 16_000_000, "{}", came.len());
}

/// Whether the daemon's end of a connection is still there, by the system's table.
fn is_connected(daemon: &Daemon, port: u16) -> bool {
    let (ours, theirs) = (daemon.address().port(), port);
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let (ours, theirs) = (format!(":{ours:04X}"), format!(":{theirs:04X}"));
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (from, to) = (fields.next().unwrap(), fields.next().unwrap());
        // Established.
        from.ends_with(&ours) && to.ends_with(&theirs) && fields.next() == Some("01")
    })
}

#[test]
fn answers_are_compressed_for_who_asks() {
    let daemon = start("");
    let get = |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        let bytes = raw::read(raw::send(daemon.address(), request));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains(" 200 OK\r\n"), "{text}");
        (text.contains("content-encoding: gzip"), bytes.len())
    };
    let asks = "Accept-Encoding: br, gzip;q=0.8\r\n";
    let (is_packed, whole) = get("/v1/plugins", "");
    assert!(!is_packed && whole > 1024);
    let (is_packed, packed) = get("/v1/plugins", asks);
    assert!(is_packed && packed < whole, "{packed} {whole}");
    assert!(!get("/v1/plugins", "Accept-Encoding: gzip;q=0\r\n").0);
    assert!(!get("/v1/plugins", "Accept-Encoding: br\r\n").0);
    // What was done is told, in whatever way the client does not want to hear of it.
    for none in ["*;q=0", "identity;q=0, *;q=0", "gzip;q=0, *", "gzip;q=x"] {
        let asks = format!("Accept-Encoding: {none}\r\n");
        assert!(!get("/v1/plugins", &asks).0, "{none}");
    }
    assert!(get("/v1/plugins", "Accept-Encoding: identity;q=0, *\r\n").0);
    assert!(!get("/healthz", asks).0);
    let events =
        format!("GET /v1/events?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n{asks}\r\n");
    let mut client = raw::send(daemon.address(), events);
    let mut some = vec![0; 600];
    client.read_exact(&mut some).unwrap();
    let some = String::from_utf8_lossy(&some).into_owned();
    assert!(
        some.contains("event: ") && !some.contains("content-encoding"),
        "{some}"
    );
    let daemon = start("server.compression = false");
    let request =
        format!("GET /v1/plugins HTTP/1.1\r\nHost: localhost\r\n{asks}Connection: close\r\n\r\n");
    assert_eq!(
        only(&talk(daemon.address(), request)).header("content-encoding"),
        None
    );
}

#[test]
fn the_host_answers_to_its_names() {
    let daemon = start("server.hosts = ['plugins.example.com', '*.example.org']");
    let ask = |headers: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n");
        only(&talk(daemon.address(), request)).brief()
    };
    for own in [
        "Host: plugins.example.com",
        "Host: Plugins.Example.com:8443",
        "Host: a.b.example.org",
        "Host: localhost",
        "Host: plugins.example.com\r\nOrigin: https://plugins.example.com",
        "Host: plugins.example.com:443\r\nOrigin: https://plugins.example.com",
        "Host: plugins.example.com\r\nOrigin: http://plugins.example.com",
    ] {
        assert_eq!(ask(own), "200", "{own}");
    }
    for foreign in [
        "Host: example.com",
        "Host: evil.plugins.example.com",
        "Host: example.org",
        "Host: plugins.example.com.evil.example",
        "Host: plugins.example.com\r\nOrigin: https://a.example.org",
        "Host: plugins.example.com\r\nOrigin: https://evil.example",
        "Host: plugins.example.com\r\nOrigin: null",
    ] {
        assert!(ask(foreign).starts_with("403 forbidden: "), "{foreign}");
    }
}

fn over(socket: &std::path::Path) -> RawAnswer {
    let mut client = UnixStream::connect(socket).unwrap();
    client.write_all(ASK.as_bytes()).unwrap();
    only(&raw::answers(&raw::read(client))).clone()
}

#[test]
fn a_unix_socket_is_listened_on_besides() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    let socket = folder.beside("api.sock");
    // One that somebody has left behind.
    drop(UnixListener::bind(&socket).unwrap());
    let config = format!(
        "server.socket = '{}'\nserver.socket_mode = '600'",
        socket.display()
    );
    let mut daemon = Daemon::start(&folder, &config);
    assert_eq!(over(&socket).status, 200);
    assert_eq!(only(&talk(daemon.address(), ASK)).status, 200);
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let serve = |socket: &std::path::Path| {
        let file = folder.beside("other.toml");
        let config = format!(
            "server.socket = '{}'\nserver.listen = '127.0.0.1:0'",
            socket.display()
        );
        fs::write(&file, config).unwrap();
        let (plugins, state) = (folder.path(), folder.beside("other"));
        let [plugins, state, file] = [&plugins, &state, &file].map(|it| it.to_str().unwrap());
        cli::run(&[
            "serve",
            "--plugins",
            plugins,
            "--state",
            state,
            "--config",
            file,
        ])
    };
    let ended = serve(&socket);
    assert_eq!(ended.exit, 69, "{}", ended.stderr);
    assert!(ended.stderr.contains("is in use"), "{}", ended.stderr);
    assert_eq!(over(&socket).status, 200);
    let plain = folder.beside("plain");
    fs::write(&plain, "kept").unwrap();
    let ended = serve(&plain);
    assert_eq!(ended.exit, 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("is no socket"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&plain).unwrap(), "kept");
    let ended = serve(&folder.beside("nowhere/api.sock"));
    assert_eq!(ended.exit, 69, "{}", ended.stderr);
    daemon.terminate();
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn op_03_a_panic_costs_its_own_request() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    for place in ["http.analyze", "runner.admit"] {
        let failing = format!("{place}=1*panic(on purpose)");
        let daemon = Daemon::start_failing(&folder, "", &[("FAILPOINTS", &failing)]).unwrap();
        let answer = daemon.call(PLUGIN, &json!({}));
        let expected = "500 ExecutionError internal: ";
        assert!(
            answer.brief().starts_with(expected),
            "{place}: {}",
            answer.brief()
        );
        assert!(answer.header("x-request-id").is_some());
        for _ in 0..3 {
            assert_eq!(daemon.call(PLUGIN, &json!({})).status, 200, "{place}");
        }
        assert_eq!(daemon.get("/readyz").status, 200);
    }
}

#[test]
fn op_05_a_log_that_cannot_be_written_stops_nothing() {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    for stderr in ["2>&-", "2>/dev/full"] {
        let script = format!("exec \"$@\" {stderr}");
        let config = "log.level = 'debug'";
        let mut daemon = Daemon::start_behind(&folder, config, &["sh", "-c", &script, "sh"]);
        assert_eq!(
            daemon
                .post_raw(PLUGIN, "image/x-any", IMAGE, &json!({}))
                .status,
            200
        );
        assert_eq!(daemon.call(PLUGIN, &way("panic")).status, 500);
        assert_eq!(daemon.call(PLUGIN, &json!({})).status, 200);
        daemon.terminate();
        assert_eq!(daemon.exit_code(), Some(0), "{stderr}");
    }
}
