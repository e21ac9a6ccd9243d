//! What happens to one job, as server-sent events: from the first, from the last that was seen, and as it happens.

use axum::body::to_bytes;
use tokio::io::AsyncReadExt;

use super::super::server;
use super::*;

/// A frame that was read: its number, its word, its facts.
#[derive(Debug, PartialEq)]
struct Heard {
    id: u64,
    kind: String,
    data: Value,
}

/// Everything that a client hears until the stream ends.
async fn heard(host: &Host, request: Request<Body>) -> Vec<Heard> {
    let answer = host.send(request).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let mut frames = text.split_terminator("\n\n");
    assert_eq!(frames.next(), Some("retry: 1000"));
    frames.filter(|frame| *frame != ":").map(read).collect()
}

fn read(frame: &str) -> Heard {
    let field = |name: &str| {
        let line = frame.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}in {frame}"))
    };
    Heard {
        id: field("id: ").parse().unwrap(),
        kind: field("event: ").to_owned(),
        data: serde_json::from_str(field("data: ")).unwrap(),
    }
}

fn follow(job: &Value, query: &str) -> Request<Body> {
    get(&path(job, &format!("/events{query}")))
}

fn resume(job: &Value, id: &str) -> Request<Body> {
    let mut request = follow(job, "");
    let headers = request.headers_mut();
    headers.insert("last-event-id", id.parse().unwrap());
    request
}

#[tokio::test]
async fn the_way_of_a_job_is_told_up_to_its_end() {
    let host = Host::new().await;
    let job = host.ended(&host.submit("").await).await;
    let all = heard(&host, follow(&job, "")).await;
    assert!(all.is_sorted_by(|a, b| a.id < b.id), "{all:?}");
    let kinds: Vec<_> = all.iter().map(|heard| heard.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "ended"]);
    for heard in &all {
        assert_eq!(heard.data["job"], job["id"]);
        assert!(heard.data["time"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(all[0].data["attempt"], 1);
    assert_eq!(all[1].data["status"], "SUCCESS");
}

#[tokio::test]
async fn who_comes_back_hears_what_was_missed() {
    let host = Host::new().await;
    let job = host.ended(&host.submit("").await).await;
    let all = heard(&host, follow(&job, "")).await;
    let (first, last) = (all[0].id, all[1].id);
    let missed = heard(&host, resume(&job, &first.to_string())).await;
    assert_eq!(missed, all[1..]);
    let missed = heard(&host, follow(&job, &format!("?last_event_id={first}"))).await;
    assert_eq!(missed, all[1..]);
    // The header is of the client that comes back, the query of the page that it once opened.
    let mut request = follow(&job, "?last_event_id=0");
    let headers = request.headers_mut();
    headers.insert("last-event-id", last.into());
    let nothing = host.send(request).await;
    assert_eq!(nothing.status(), 204);
    let body = to_bytes(nothing.into_body(), usize::MAX).await.unwrap();
    assert!(body.is_empty());
}

#[tokio::test]
async fn who_follows_hears_the_end_as_it_comes() {
    let host = Host::new().await;
    let job = host.pending().await;
    let (all, cancelled) = tokio::join!(heard(&host, follow(&job, "")), host.ask(delete(&job)));
    assert_eq!(cancelled.body["status"], "CANCELLED");
    let last = all.last().unwrap();
    assert_eq!(last.kind, "ended");
    assert_eq!(last.data["status"], "CANCELLED");
    assert_eq!(last.data["code"], "cancelled");
}

#[tokio::test]
async fn a_host_that_stops_ends_the_stream_and_not_the_job() {
    let host = Host::new().await;
    let job = host.pending().await;
    let stop = async { host.services.state.draining() };
    let (all, ()) = tokio::join!(heard(&host, follow(&job, "")), stop);
    assert_eq!(all, []);
    assert_eq!(host.ask(get(&path(&job, ""))).await.body, job);
}

#[tokio::test]
async fn a_stop_ends_the_connection_of_who_follows() {
    let host = Host::new().await;
    let job = host.pending().await;
    let server = server::start(host.app.clone(), server::patient()).await;
    let path = path(&job, "/events");
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut client = server.send(head).await;
    let mut some = [0; 12];
    client.read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"HTTP/1.1 200");
    host.services.state.draining();
    server.stopped().await;
    let rest = server::read(client).await;
    assert!(rest.contains("retry: 1000"), "{rest}");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    assert!(!rest.contains("event: "), "{rest}");
}

#[tokio::test]
async fn where_to_go_on_must_be_a_number() {
    let host = Host::new().await;
    let job = host.pending().await;
    let malformed = "400 malformed_request: `ab-1` is no id of an event of a job";
    host.check(resume(&job, "ab-1"), malformed).await;
    host.check(follow(&job, "?last_event_id=ab-1"), malformed)
        .await;
    let unknown = "400 malformed_request: unknown query parameter `kind`";
    host.check(follow(&job, "?kind=log"), unknown).await;
}
