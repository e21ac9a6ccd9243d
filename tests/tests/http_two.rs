//! HTTP/2 on plain connections, by clients that know that it is spoken.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::time::Duration;

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::http2::{Http2, frame, get};
use hyper::Request;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn start(config: &str) -> Daemon {
    Daemon::start(&Folder::of(&fixture("fixture-misbehaves")), config)
}

async fn connect(daemon: &Daemon) -> Http2 {
    Http2::on(TcpStream::connect(daemon.address()).await.unwrap()).await
}

fn call(options: &str) -> Request<String> {
    let uri = format!("http://localhost/v1/analyze?plugin=misbehaves&options={options}");
    let request = Request::post(uri).header("content-type", "image/x-any");
    request.body("an image".repeat(100_000)).unwrap()
}

#[tokio::test]
async fn requests_run_beside_each_other() {
    let daemon = start("[plugins.defaults]\nconcurrency = 2");
    let client = connect(&daemon).await;
    let slow = client.ask(call("%7B%22way%22%3A%22hang%22%2C%22millis%22%3A400%7D"));
    let fast = async {
        for _ in 0..20 {
            let (status, body) = client.ask(call("%7B%7D")).await;
            assert_eq!(
                (status, &body["result"]["image_bytes"]),
                (200, &800_000.into())
            );
        }
        let (status, body) = client.ask(get("http://localhost/v1/nothing")).await;
        assert_eq!(
            (status, &body["error"]["details"]["code"]),
            (404, &"not_found".into())
        );
    };
    let ((status, _), ()) = tokio::join!(slow, fast);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn foreign_names_and_large_heads_are_refused() {
    let daemon = start("server.hosts = ['plugins.example.com']");
    let client = connect(&daemon).await;
    for own in ["localhost", "127.0.0.1:80", "plugins.example.com"] {
        assert_eq!(
            client.ask(get(&format!("http://{own}/healthz"))).await.0,
            200
        );
    }
    let (status, body) = client.ask(get("http://evil.example/healthz")).await;
    assert_eq!(
        (status, &body["error"]["details"]["code"]),
        (403, &"forbidden".into())
    );
    let large = |kib: usize| {
        let mut large = get("http://localhost/healthz");
        let long = "x".repeat(kib << 10).parse().unwrap();
        large.headers_mut().insert("x-a", long);
        large
    };
    assert_eq!(client.ask(large(31)).await.0, 200);
    for kib in [32, 64] {
        let (status, body) = client.ask(large(kib)).await;
        let error = &body["error"];
        assert_eq!(
            (status, &error["details"]),
            (
                431,
                &json!({ "code": "headers_too_large", "limit": 32 << 10 })
            )
        );
        assert!(error["message"].is_string(), "{error}");
    }
    // Of this one the library tells nobody.
    assert_eq!(client.send(large(200)).await.status(), 431);
    assert_eq!(client.ask(get("http://localhost/healthz")).await.0, 200);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let daemon = start("[server]\nheader_timeout = '300ms'\nsend_timeout = '300ms'");
    let client = connect(&daemon).await;
    assert_eq!(client.ask(get("http://localhost/healthz")).await.0, 200);
    let ended = timeout(SOON, client.carried).await.expect("it is closed");
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn who_opens_no_window_is_cut_off() {
    let daemon = start("[server]\nheader_timeout = '300ms'\nsend_timeout = '500ms'");
    let client = connect(&daemon).await;
    let attach = "%7B%22way%22%3A%22attach%22%2C%22size%22%3A12000000%7D";
    let mut answer = client.send(call(attach)).await;
    assert_eq!(answer.status(), 200);
    let ended = timeout(SOON, client.carried).await.expect("it is cut off");
    drop(ended);
    let body = answer.body_mut();
    let mut came = 0;
    while let Some(Ok(frame)) =
        std::future::poll_fn(|cx| hyper::body::Body::poll_frame(std::pin::Pin::new(&mut *body), cx))
            .await
    {
        came += frame.data_ref().map_or(0, |it| it.len());
    }
    assert!(came < 12_000_000, "{came}");
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_ends_streams() {
    let daemon = start("");
    let client = connect(&daemon).await;
    let mut events = client
        .send(get("http://localhost/v1/events?last_event_id=0"))
        .await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert!(frame(events.body_mut()).await.is_some());
    let client = std::sync::Arc::new(client);
    let asking = std::sync::Arc::clone(&client);
    let request = call("%7B%22way%22%3A%22hang%22%2C%22millis%22%3A800%7D");
    let slow = tokio::spawn(async move { asking.ask(request).await });
    let daemon = tokio::task::spawn_blocking(move || {
        daemon.wait_for("misbehaves", "in_flight", 1);
        daemon.terminate();
        daemon
    });
    let mut daemon = daemon.await.unwrap();
    let (status, _) = slow.await.unwrap();
    assert_eq!(status, 200);
    let mut rest = Vec::new();
    while let Some(frame) = timeout(SOON, frame(events.body_mut())).await.unwrap() {
        rest.extend_from_slice(&frame);
    }
    assert!(String::from_utf8_lossy(&rest).contains("host_stopping"));
    assert_eq!(daemon.exit_code(), Some(0));
}
