//! What the log says of a call, the trace that it is a part of, and what a collector hears of it.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use bulkhead_tests::daemon::{Answer, Daemon, way};
use bulkhead_tests::fixtures::fixture;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::{on_each_lane, wait};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const PLUGIN: &str = "misbehaves";

on_each_lane![every_line_of_a_call_names_it, a_trace_is_named_in_the_log];

fn daemon(config: &str) -> Daemon {
    Daemon::start(&Folder::of(&fixture("fixture-misbehaves")), config)
}

fn call(daemon: &Daemon, options: &Value, trace_parent: &str) -> Answer {
    daemon.call_with(PLUGIN, options, &[("traceparent", trace_parent)])
}

/// The line of the log with this message that a request has left.
fn line(daemon: &Daemon, answer: &Answer, message: &str) -> Value {
    let request = answer.header("x-request-id").unwrap();
    daemon.line(message, |line| {
        let told = line["message"].as_str().unwrap_or_default();
        line["request"] == request && told.starts_with(message)
    })
}

fn every_line_of_a_call_names_it(lane: Lane) {
    let daemon = daemon(&lane.config("log.level = \"info,bulkhead=debug,plugin=debug\""));
    let generation = daemon.plugin(PLUGIN)["generation"].clone();
    let check = |answer: &Answer, message: &str| {
        let line = line(&daemon, answer, message);
        assert_eq!(line["job"], answer.header("x-job-id").unwrap(), "{line}");
        assert_eq!(
            (&line["plugin"], &line["generation"]),
            (&PLUGIN.into(), &generation),
            "{line}"
        );
        line
    };
    let talks = daemon.call(PLUGIN, &way("talk"));
    let said = check(&talks, "hello from the plugin");
    assert_eq!(
        (&said["level"], &said["target"]),
        (&"INFO".into(), &"plugin".into())
    );
    check(&talks, "call succeeded");
    let panics = daemon.call(PLUGIN, &way("panic"));
    let failed = check(&panics, "call failed");
    assert_eq!(
        (&failed["code"], &failed["error"]),
        (&"panic".into(), &"kaboom".into())
    );
    let access = line(&daemon, &panics, "request answered");
    assert_eq!(access["route"], "/v1/analyze");
    assert_eq!(
        (&access["status"], &access["method"]),
        (&500.into(), &"POST".into())
    );
    assert!(access["duration_ms"].as_f64().unwrap() > 0.0, "{access}");
    assert!(access["received"].as_u64().unwrap() > 10, "{access}");
    let bytes = panics.header("content-length").unwrap();
    assert_eq!(access["bytes"].to_string(), bytes);
    assert!(access.get("trace").is_none(), "{access}");
}

#[test]
fn a_plugin_is_heard_at_its_own_level() {
    let daemon = daemon("log.level = \"info,plugin=warn\"");
    let talks = daemon.call(PLUGIN, &way("talk"));
    let panics = daemon.call(PLUGIN, &way("panic"));
    line(&daemon, &panics, "call failed");
    let request = talks.header("x-request-id").unwrap();
    let of_talk = daemon
        .lines()
        .into_iter()
        .find(|it| it["request"] == request);
    assert_eq!(of_talk, None, "it spoke at `info`");
}

fn a_trace_is_named_in_the_log(lane: Lane) {
    let daemon = daemon(&lane.config("log.level = \"info,bulkhead=debug\""));
    for flags in ["01", "00"] {
        let talks = call(&daemon, &way("talk"), &format!("00-{TRACE}-{SPAN}-{flags}"));
        for message in [
            "hello from the plugin",
            "call succeeded",
            "request answered",
        ] {
            assert_eq!(line(&daemon, &talks, message)["trace"], TRACE, "{message}");
        }
    }
    for malformed in [
        "",
        "00",
        "00-x-y-01",
        &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
    ] {
        let talks = call(&daemon, &way("talk"), malformed);
        assert_eq!(talks.status, 200);
        let access = line(&daemon, &talks, "request answered");
        assert!(access.get("trace").is_none(), "{malformed}: {access}");
    }
}

#[test]
fn a_collector_hears_of_a_request_and_its_parts() {
    let collector = Collector::start();
    let daemon = daemon(&format!("telemetry.otlp = \"{}\"", collector.address));
    let fine = call(&daemon, &way("fine"), &format!("00-{TRACE}-{SPAN}-01"));
    let panics = call(&daemon, &way("panic"), &format!("00-{TRACE}-{SPAN}-01"));
    let spans = collector.until(8, |span| span.trace == TRACE);
    let of = |answer: &Answer| {
        let request = answer.header("x-request-id").unwrap();
        let named = |name: &str| {
            let its = |span: &&Span| span.name == name && span.says(request);
            spans
                .iter()
                .find(its)
                .unwrap_or_else(|| panic!("{name} of {spans:#?}"))
        };
        let (request, call) = (named("POST /v1/analyze"), named("call"));
        assert_eq!((&*request.parent, &call.parent), (SPAN, &request.id));
        assert!(call.says(answer.header("x-job-id").unwrap()) && call.says(PLUGIN));
        let mut parts: Vec<_> = spans.iter().filter(|it| it.parent == call.id).collect();
        parts.sort_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<_> = parts.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["admission", "plugin"]);
        (request.clone(), call.clone(), parts[1].clone())
    };
    let (request, call, plugin) = of(&fine);
    assert!(request.began <= call.began && call.began <= plugin.began);
    assert!(plugin.ended <= call.ended && call.ended <= request.ended);
    assert!(call.says("success") && !call.failed && !request.failed);
    let (request, call, plugin) = of(&panics);
    assert!(call.says("panic") && call.failed && plugin.failed && request.failed);
}

/// A run is a part of the trace of the request that has submitted its job, though that was answered long ago.
#[test]
fn a_collector_hears_of_the_runs_of_jobs() {
    let collector = Collector::start();
    let config = format!(
        "telemetry.otlp = \"{}\"\nlog.level = \"info,bulkhead=debug\"\njobs.backoff = \"10ms\"",
        collector.address
    );
    let daemon = daemon(&config);
    let said = format!("00-{TRACE}-{SPAN}-01");
    let submit = |options: &Value| {
        let headers = [("traceparent", said.as_str()), ("x-deadline-ms", "2000")];
        let query = [("max_attempts", "2")];
        let answer = daemon.submit_with(PLUGIN, options, &query, &headers);
        assert_eq!(answer.status, 202);
        answer.header("x-job-id").unwrap().to_owned()
    };
    let hang = json!({ "way": "hang", "millis": 60_000 });
    let (fine, hangs) = (submit(&way("fine")), submit(&hang));
    let runs = collector.until(3, |span| span.name == "job");
    let of = |job: &str| {
        let of_it = runs.iter().filter(|span| span.says(job));
        of_it.cloned().collect::<Vec<_>>()
    };
    let ([run], [first, second]) = (&of(&fine)[..], &of(&hangs)[..]) else {
        panic!("{runs:#?}")
    };
    let spans = collector.spans.lock().unwrap().clone();
    let generation = daemon.plugin(PLUGIN)["generation"].clone();
    for span in [run, first, second] {
        assert_eq!(span.trace, TRACE);
        assert!(span.says(PLUGIN), "{span:?}");
        assert!(span.says(generation.as_str().unwrap()), "{span:?}");
        let submission = spans.iter().find(|it| it.id == span.parent);
        assert_eq!(submission.unwrap().name, "POST /v1/jobs");
        let call = spans.iter().find(|it| it.parent == span.id);
        assert_eq!(call.unwrap().name, "call");
    }
    assert!(run.says("success") && !run.failed, "{run:?}");
    for span in [first, second] {
        assert!(span.says("timeout") && span.failed, "{span:?}");
    }
    let log = daemon.line("call failed", |line| {
        line["job"] == hangs.as_str() && line["message"] == "call failed"
    });
    assert_eq!(log["trace"], TRACE, "{log}");
}

/// Whoever submits without a trace has one begun for the run, if it is among those that get one.
#[test]
fn a_run_without_a_trace_begins_one() {
    let collector = Collector::start();
    let daemon = daemon(&format!("telemetry.otlp = \"{}\"", collector.address));
    let said = format!("00-{TRACE}-{SPAN}-00");
    let headers = [("traceparent", said.as_str())];
    // Whoever says that it is not to be told of is not told of.
    let quiet = daemon.submit_with(PLUGIN, &way("fine"), &[], &headers);
    let quiet = quiet.header("x-job-id").unwrap().to_owned();
    daemon.ended(&quiet);
    let told = daemon.submitted(PLUGIN, &way("fine"));
    let runs = collector.until(1, |span| span.name == "job");
    assert!(runs.iter().all(|span| span.says(&told)), "{runs:?}");
    assert!(runs.iter().all(|span| span.trace != TRACE), "{runs:?}");
}

#[test]
fn a_share_of_requests_is_traced_and_the_rest_is_sent_at_the_end() {
    let collector = Collector::start();
    let config = format!(
        "telemetry.otlp = \"{}\"\ntelemetry.sample = 0",
        collector.address
    );
    let mut daemon = daemon(&config);
    daemon.call(PLUGIN, &way("fine"));
    call(&daemon, &way("fine"), &format!("00-{TRACE}-{SPAN}-01"));
    daemon.terminate();
    assert_eq!(daemon.exit_code(), Some(0));
    let spans = collector.spans.lock().unwrap().clone();
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|it| it.trace == TRACE));
}

#[test]
fn a_collector_that_is_not_there_holds_nobody_up() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut daemon = daemon(&format!("telemetry.otlp = \"http://{nobody}\""));
    let told = |daemon: &Daemon| {
        let lines = daemon.lines().into_iter();
        let told = |line: &Value| {
            line["message"]
                .as_str()
                .is_some_and(|it| it.contains("collector"))
        };
        lines.filter(told).count()
    };
    for _ in 0..3 {
        for _ in 0..20 {
            assert_eq!(daemon.call(PLUGIN, &way("fine")).status, 200);
        }
        wait::until("the log to tell of it", || {
            (told(&daemon) > 0).then_some(())
        });
    }
    daemon.terminate();
    assert_eq!(daemon.exit_code(), Some(0));
    assert_eq!(told(&daemon), 1, "{}", daemon.log());
}

/// A collector that keeps what it hears.
struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Listens for as long as the test runs.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = Arc::clone(&spans);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                thread::spawn(move || {
                    let mut writer = stream.try_clone().unwrap();
                    let mut reader = BufReader::new(stream);
                    while let Some((head, body)) = request(&mut reader) {
                        assert!(head.starts_with("POST /v1/traces "), "{head}");
                        assert!(head.contains("application/x-protobuf"), "{head}");
                        kept.lock().unwrap().extend(spans_of(&body));
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        writer.write_all(answer).unwrap();
                    }
                });
            }
        });
        Self { address, spans }
    }

    /// So many spans of that kind, once they are there.
    fn until(&self, count: usize, is_one: impl Fn(&Span) -> bool) -> Vec<Span> {
        wait::until(&format!("{count} spans"), || {
            let spans = self.spans.lock().unwrap().clone();
            let found: Vec<_> = spans.into_iter().filter(|it| is_one(it)).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

/// The head and the body of the next request on a connection; nothing at its end.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|it| it.strip_prefix("content-length:"));
    let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// What a collector has heard of a span.
#[derive(Clone, Debug, Default)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    began: u64,
    ended: u64,
    facts: Vec<String>,
    failed: bool,
}

impl Span {
    fn says(&self, value: &str) -> bool {
        self.facts.iter().any(|it| it == value)
    }
}

/// The spans in an `ExportTraceServiceRequest`: resource spans (1), scope spans (2), spans (2).
fn spans_of(body: &[u8]) -> Vec<Span> {
    let inside = |parts: Vec<Vec<u8>>, number| {
        let parts = parts.iter().flat_map(|it| fields(it));
        let parts = parts.filter(|(found, _)| *found == number);
        parts.map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    let spans = inside(inside(inside(vec![body.to_vec()], 1), 2), 2);
    spans.iter().map(|it| span_of(it)).collect()
}

fn span_of(bytes: &[u8]) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect();
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut span = Span::default();
    for (field, bytes) in fields(bytes) {
        match field {
            1 => span.trace = hex(&bytes),
            2 => span.id = hex(&bytes),
            4 => span.parent = hex(&bytes),
            5 => span.name = text(&bytes),
            7 => span.began = number(&bytes),
            8 => span.ended = number(&bytes),
            // A key (1), and a value (2) that is a text (1).
            9 => span.facts.extend(
                fields(&bytes)
                    .into_iter()
                    .filter(|(field, _)| *field == 2)
                    .flat_map(|(_, value)| fields(&value))
                    .filter(|(field, _)| *field == 1)
                    .map(|(_, value)| text(&value)),
            ),
            // A status whose code (3) is 2.
            15 => span.failed = fields(&bytes).contains(&(3, vec![2])),
            _ => {}
        }
    }
    span
}

/// The fields of a protobuf message: their numbers, and their bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let value = varint(&mut bytes);
                fields.push((key >> 3, vec![value.to_le_bytes()[0]]));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
