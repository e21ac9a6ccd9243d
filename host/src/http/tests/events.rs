//! The stream of what happens: live and later, whole and filtered, and its end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{ask, check, get, limits, services};
use crate::events::{Event, EventLog, Kind};
use crate::http::{Guarded, HttpLimits, ServerState, router};
use crate::names::PluginName;

/// Which start of the host it is.
const BOOT: u64 = 0xab;

/// A host that things happen to.
pub(super) struct Host {
    pub(super) app: Guarded,
    pub(super) log: Arc<EventLog>,
    pub(super) state: Arc<ServerState>,
}

impl Host {
    pub(super) fn new() -> Self {
        let mut services = services(&[]);
        services.events = Arc::new(EventLog::of_boot(BOOT));
        Self {
            log: Arc::clone(&services.events),
            state: Arc::clone(&services.state),
            app: router(services, limits()),
        }
    }

    /// One to which this has happened: each a kind, and a plugin behind a colon.
    fn after(events: &str) -> Self {
        let host = Self::new();
        host.tell(events);
        host
    }

    pub(super) fn tell(&self, events: &str) {
        for event in events.split_whitespace() {
            let (kind, plugin) = event.split_once(':').unwrap_or((event, ""));
            let event = Event::of(Kind::parse(kind).unwrap());
            self.log.tell(match PluginName::parse(plugin) {
                Ok(plugin) => event.plugin(&plugin),
                Err(_) => event,
            });
        }
    }

    fn flood(&self, events: usize) {
        (0..events).for_each(|_| self.tell("found"));
    }

    async fn open(&self, request: Request<Body>) -> Client {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        Client::of(answer).await
    }

    /// All frames that a client gets of a host that stops.
    async fn whole(&self, request: Request<Body>) -> String {
        self.state.draining();
        self.open(request).await.rest().await.join(" ")
    }
}

/// Somebody who reads frame by frame.
struct Client {
    body: BodyDataStream,
    greeting: String,
}

impl Client {
    async fn of(answer: Response) -> Self {
        let mut body = answer.into_body().into_data_stream();
        let greeting = body.next().await.unwrap().unwrap();
        let greeting = String::from_utf8(greeting.to_vec()).unwrap();
        Self { body, greeting }
    }

    /// The next frame as `kind@id`, after a look at whether it is whole; `:` for one that keeps the connection alive.
    async fn next(&mut self) -> Option<String> {
        let frame = self.body.next().await?.unwrap();
        let frame = String::from_utf8(frame.to_vec()).unwrap();
        let lines: Vec<_> = frame.strip_suffix("\n\n").unwrap().lines().collect();
        let field = |name: &str| {
            lines
                .iter()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
        };
        if lines == [":"] {
            return Some(":".to_owned());
        }
        assert_eq!(lines.len(), 3, "{frame}");
        let (id, kind) = (field("id: "), field("event: "));
        let data: Value = serde_json::from_str(field("data: ")).unwrap();
        assert_eq!(data["kind"], kind);
        if kind == "missed" {
            assert_eq!(data["look_at"], "/v1/plugins");
        } else {
            assert_eq!(data["id"], id);
        }
        Some(format!("{kind}@{id}"))
    }

    async fn rest(mut self) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(frame) = self.next().await {
            seen.push(frame);
        }
        seen
    }
}

pub(super) fn follow(query: &str) -> Request<Body> {
    get(&format!("/v1/events{query}"))
}

fn resume(query: &str, id: &str) -> Request<Body> {
    let mut request = follow(query);
    let id = id.parse().unwrap();
    request.headers_mut().insert("last-event-id", id);
    request
}

#[tokio::test]
async fn what_happens_is_heard_at_once() {
    let host = Host::after("found:echo probed:echo");
    let mut client = host.open(follow("")).await;
    assert_eq!(client.greeting, "retry: 1000\nid: ab-2\n\n");
    host.tell("serving:echo");
    assert_eq!(client.next().await.unwrap(), "serving@ab-3");
    host.tell("draining:echo retired:echo");
    assert_eq!(client.next().await.unwrap(), "draining@ab-4");
    assert_eq!(client.next().await.unwrap(), "retired@ab-5");
}

#[tokio::test]
async fn nothing_on_the_way_holds_a_stream_back() {
    let request = follow("");
    let answer = Host::new().app.oneshot(request).await.unwrap();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        let values: Vec<_> = answer.headers().get_all(name).iter().collect();
        assert_eq!(values, [value]);
    }
    assert!(answer.headers().contains_key("x-request-id"));
    assert!(!answer.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn a_client_goes_on_where_it_was_cut_off() {
    let host = Host::after("found probed serving");
    let check = async |request, expected: &str| assert_eq!(host.whole(request).await, expected);
    let all = "found@ab-1 probed@ab-2 serving@ab-3";
    check(follow(""), "").await;
    check(follow("?last_event_id=0"), all).await;
    check(resume("", "0"), all).await;
    check(resume("", "ab-0"), all).await;
    check(resume("", "ab-2"), "serving@ab-3").await;
    check(follow("?last_event_id=ab-2"), "serving@ab-3").await;
    check(resume("?last_event_id=0", "ab-2"), "serving@ab-3").await;
    check(resume("", "ab-3"), "").await;
}

#[tokio::test]
async fn a_client_that_cannot_be_given_all_is_told() {
    let host = Host::after("found probed");
    let check = async |host: &Host, id: &str, expected: &str| {
        assert_eq!(host.whole(resume("", id)).await, expected);
    };
    check(&host, "cd-2", "missed@ab-0 found@ab-1 probed@ab-2").await;
    check(&host, "ab-3", "missed@ab-0 found@ab-1 probed@ab-2").await;
    check(&Host::new(), "cd-2", "missed@ab-0").await;
    let long_ago = Host::after("probed probed");
    long_ago.flood(4096);
    let seen = long_ago.whole(resume("", "ab-1")).await;
    assert!(seen.starts_with("missed@ab-2 found@ab-3 found@ab-4 "));
    assert!(seen.ends_with(" found@ab-4098"));
    let all = long_ago.whole(follow("?last_event_id=0")).await;
    assert!(all.starts_with("found@ab-3 "));
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_forgotten_nothing_but_told() {
    let host = Host::new();
    let mut client = host.open(follow("")).await;
    host.flood(5000);
    assert_eq!(client.next().await.unwrap(), "missed@ab-904");
    assert_eq!(client.next().await.unwrap(), "found@ab-905");
    host.flood(5000);
    host.state.draining();
    let rest = client.rest().await;
    let gap = rest.iter().position(|frame| frame.starts_with("missed"));
    // What was taken from the log already, and then all that is still there.
    assert!(gap.unwrap() < 16);
    assert_eq!(rest[gap.unwrap()], "missed@ab-5904");
    assert_eq!(rest.len() - gap.unwrap(), 4097);
    assert_eq!(rest[rest.len() - 1], "found@ab-10000");
}

#[tokio::test]
async fn a_client_hears_only_what_it_asks_for() {
    let host = Host::after("found:echo found:copies host_ready serving:echo serving:copies");
    let check = async |query: &str, expected: &str| {
        let seen = host.whole(resume(query, "0")).await;
        assert_eq!(seen, expected, "{query}");
    };
    check("?plugin=echo", "found@ab-1 serving@ab-4").await;
    check("?plugin=unheard-of", "").await;
    check("?kind=serving", "serving@ab-4 serving@ab-5").await;
    check(
        "?kind=host_ready,found,found",
        "found@ab-1 found@ab-2 host_ready@ab-3",
    )
    .await;
    check("?plugin=copies&kind=serving%2Cdraining", "serving@ab-5").await;
    let seen = host.whole(resume("?plugin=unheard-of", "cd-1")).await;
    assert_eq!(seen, "missed@ab-0");
}

#[tokio::test]
async fn what_cannot_be_understood_is_an_envelope() {
    let id = "is no id of an event: expected one that came with an event, such as `19a8c7d2f10-17`, or `0`";
    for bad in [
        "",
        "1",
        "ab",
        "ab-x",
        "AB-1",
        "ab-01",
        "ab-18446744073709551616",
        "a b",
        "\u{e9}",
    ] {
        let quoted = bad.escape_default();
        let expected = format!("400 malformed_request: `{quoted}` {id}");
        let encoded = bad.replace(' ', "+").replace('\u{e9}', "%C3%A9");
        check(follow(&format!("?last_event_id={encoded}")), &expected).await;
        if bad.is_ascii() {
            check(resume("", bad), &expected).await;
        }
    }
    let mut foreign = resume("", "0");
    let value = axum::http::HeaderValue::from_bytes(b"\xff").unwrap();
    foreign.headers_mut().insert("last-event-id", value);
    check(foreign, "400 malformed_request: `\\u{fffd}` is no id").await;
    let mut twice = resume("", "0");
    twice
        .headers_mut()
        .append("last-event-id", "0".parse().unwrap());
    check(
        twice,
        "400 malformed_request: there are two Last-Event-ID headers",
    )
    .await;
    for (query, expected) in [
        ("?plugin=Echo", "`Echo` is no plugin name: 1 to 64 of"),
        ("?plugin=", "`` is no plugin name"),
        (
            "?kind=servin",
            "unknown kind of event `servin`, did you mean `serving`?",
        ),
        (
            "?kind=found,rolledback",
            "unknown kind of event `rolledback`, did you mean `rolled_back`?",
        ),
        ("?kind=found,", "unknown kind of event ``"),
        (
            "?kind=zzzzzzzzzz",
            "unknown kind of event `zzzzzzzzzz`, there are only found, ",
        ),
        (
            "?plugins=echo",
            "unknown query parameter `plugins`, did you mean `plugin`?",
        ),
        (
            "?since=0",
            "unknown query parameter `since`, there are only last_event_id, plugin, kind",
        ),
        ("?kind=found&kind=held", "duplicate query parameter `kind`"),
        ("?plugin=%ff", "query parameter `plugin` is no UTF-8"),
    ] {
        check(follow(query), &format!("400 malformed_request: {expected}")).await;
    }
    let post = Request::post("/v1/events").body(Body::empty()).unwrap();
    let expected = "405 method_not_allowed: `POST` is not allowed here: use GET,HEAD";
    check(post, expected).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_host_after_its_last_words() {
    let host = Host::new();
    let mut client = host.open(follow("")).await;
    host.tell("found");
    assert_eq!(client.next().await.unwrap(), "found@ab-1");
    let rest = tokio::spawn(client.rest());
    host.tell("host_stopping");
    host.state.draining();
    assert_eq!(rest.await.unwrap(), ["host_stopping@ab-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_alive() {
    let host = Host::new();
    let mut client = host.open(follow("")).await;
    let began = tokio::time::Instant::now();
    for turn in 1..=3 {
        assert_eq!(client.next().await.unwrap(), ":");
        // The clock is the test's own.
        assert_eq!(
            began.elapsed().as_secs(),
            Duration::from_secs(15 * turn).as_secs()
        );
    }
}

#[tokio::test]
async fn streams_leave_room_for_everybody_else() {
    let limits = HttpLimits {
        streams: 2,
        ..limits()
    };
    let app = router(services(&[]), limits);
    let follow = async || app.clone().oneshot(get("/v1/events")).await.unwrap();
    let first = follow().await;
    let second = follow().await;
    assert_eq!([first.status(), second.status()], [200, 200]);
    let full = "429 rate_limited: 2 streams of events are open, and no more are carried";
    let refused = ask(app.clone(), get("/v1/events")).await;
    assert!(refused.line().starts_with(full), "{}", refused.line());
    assert_eq!(refused.headers["retry-after"], "5");
    drop(first);
    assert_eq!(follow().await.status(), 200);
}
