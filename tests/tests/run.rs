//! What a call gives when the plugin behind it goes wrong.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use std::collections::BTreeSet;
use std::thread;

use bulkhead_tests::daemon::{Answer, Daemon, way};
use bulkhead_tests::fixtures::{fixture, frozen};
use bulkhead_tests::folder::Folder;
use bulkhead_tests::lanes::Lane;
use bulkhead_tests::on_each_lane;
use serde_json::{Value, json};

on_each_lane![
    rn_01_an_error_is_passed_on_within_bounds,
    rn_01_an_error_without_the_sdk_is_passed_on_too,
    rn_02_a_panic_costs_its_own_call_and_its_instance,
    rn_04_a_panic_in_a_thread_of_the_plugins_own_is_the_plugins,
    rn_13_with_a_concurrency_of_1_calls_never_overlap,
    rn_13_a_plugin_that_is_not_thread_safe_runs_one_call_an_instance,
    ou_01_a_result_over_the_limit_is_no_result,
    ou_03_a_result_that_is_no_utf_8_is_no_result,
    ou_04_a_result_with_a_number_that_json_lacks_is_no_result,
    ou_05_a_result_without_measure_is_no_result,
    a_result_must_be_one_object_that_keeps_its_schema,
    a_schema_that_need_not_be_kept_is_not_looked_at,
    a_call_without_a_name_is_for_the_default,
    an_attachment_comes_with_the_result,
    over_its_deadline_a_call_is_a_timeout,
    a_cooperative_plugin_ends_at_its_deadline,
    beyond_the_queue_a_call_is_turned_away,
    hg_07_a_client_that_hangs_up_cancels_its_call,
];

fn rn_01_an_error_is_passed_on_within_bounds(lane: Lane) {
    let daemon = misbehaving(lane, "");
    let answer = daemon.call(PLUGIN, &way("fail"));
    assert_eq!(answer.brief(), "500 ExecutionError failed: on purpose");
    assert_eq!(*answer.details(), json!({"code": "failed", "answer": 42}));
    let answer = daemon.call(PLUGIN, &way("fail-at-length"));
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert_eq!(answer.details()["code"], "failed");
    assert!(message.starts_with("xxxx") && message.ends_with('…'));
    assert!(message.len() <= 1024, "{}", message.len());
    let answer = daemon.call(PLUGIN, &way("refuse-input"));
    let expected = "422 ValidationError invalid_input: not to my taste";
    assert_eq!(answer.brief(), expected);
}

fn rn_01_an_error_without_the_sdk_is_passed_on_too(lane: Lane) {
    let daemon = raw(lane, "");
    let answer = daemon.call("raw", &say("foreign-failure"));
    let expected = "500 ExecutionError failed: bad \u{fffd} words";
    assert_eq!(answer.brief(), expected);
    assert_eq!(*answer.details(), json!({"code": "failed"}));
}

fn rn_02_a_panic_costs_its_own_call_and_its_instance(lane: Lane) {
    let daemon = misbehaving(lane, "plugin.misbehaves.concurrency = 1");
    assert_eq!(instance(&daemon).number, 0);
    for (options, message) in [
        (way("panic"), "kaboom"),
        (
            way("panic-twice"),
            "panicked with a payload that is no text",
        ),
    ] {
        let before = instance(&daemon);
        let answer = daemon.call(PLUGIN, &options);
        let expected = format!("500 ExecutionError panic: {message}");
        assert_eq!(answer.brief(), expected);
        let location = answer.details()["location"].as_str().unwrap();
        assert!(location.contains("src/lib.rs:"), "{location}");
        assert_eq!(answer.body["_internal"], Value::Null);
        let after = instance(&daemon);
        match lane {
            // The worker is replaced, and numbers its instances from 0.
            Lane::Process => assert!(after.process != before.process && after.number == 0),
            Lane::InProcess => {
                assert!(after.process == before.process && after.number > before.number)
            }
        }
    }
    assert_eq!(daemon.plugin(PLUGIN)["lifecycle"], "READY");
}

#[test]
fn rn_02_an_inline_panic_costs_its_own_call_too() {
    let daemon = misbehaving(Lane::InProcess, "plugin.misbehaves.inline = true");
    let answer = daemon.call(PLUGIN, &way("panic"));
    assert_eq!(answer.brief(), "500 ExecutionError panic: kaboom");
    assert_eq!(daemon.call(PLUGIN, &way("fine")).status, 200);
}

fn rn_04_a_panic_in_a_thread_of_the_plugins_own_is_the_plugins(lane: Lane) {
    let daemon = misbehaving(lane, "");
    assert_eq!(daemon.call(PLUGIN, &way("panic-in-thread")).status, 200);
    assert_eq!(daemon.plugin(PLUGIN)["error_count"], 0);
}

fn rn_13_with_a_concurrency_of_1_calls_never_overlap(lane: Lane) {
    let daemon = misbehaving(lane, "plugin.misbehaves.concurrency = 1");
    let answers = in_parallel(8, || daemon.call(PLUGIN, &hang(5)));
    for answer in &answers {
        assert!(answer.result()["most_at_a_time"].as_u64() <= Some(1));
    }
    assert_eq!(instances(&answers).len(), 1);
    assert_eq!(daemon.plugin(PLUGIN)["success_count"], 8);
}

fn rn_13_a_plugin_that_is_not_thread_safe_runs_one_call_an_instance(lane: Lane) {
    let daemon = misbehaving(lane, "plugin.misbehaves.concurrency = 4");
    let answers = in_parallel(16, || daemon.call(PLUGIN, &hang(5)));
    for answer in &answers {
        assert!(answer.result()["most_at_a_time"].as_u64() <= Some(1));
    }
    let instances = instances(&answers);
    assert!(instances.len() <= 4, "{instances:?}");
}

fn ou_01_a_result_over_the_limit_is_no_result(lane: Lane) {
    let daemon = raw(lane, "");
    let answer = daemon.call("raw", &say("huge"));
    check_invalid(&answer, "over the limit of 16777216");
    let daemon = misbehaving(lane, r#"plugin.misbehaves.max_output = "1MiB""#);
    let sized = |way: &str, size: u32| json!({"way": way, "size": size});
    for way in ["long", "attach"] {
        let answer = daemon.call(PLUGIN, &sized(way, 1 << 20));
        check_invalid(&answer, "over the limit of 1048576");
        assert_eq!(daemon.call(PLUGIN, &sized(way, 1 << 19)).status, 200);
    }
}

fn ou_03_a_result_that_is_no_utf_8_is_no_result(lane: Lane) {
    check_invalid(
        &raw(lane, "").call("raw", &say("invalid-utf8")),
        "no valid JSON",
    );
}

fn ou_04_a_result_with_a_number_that_json_lacks_is_no_result(lane: Lane) {
    let daemon = raw(lane, "");
    check_invalid(&daemon.call("raw", &say("nan")), "no valid JSON");
    check_invalid(&daemon.call("raw", &say("infinity")), "no valid JSON");
    // serde writes it as null, which is no number either.
    let answer = misbehaving(lane, "").call(PLUGIN, &way("not-a-number"));
    check_invalid(&answer, "broke its own schema at `/score`");
}

fn ou_05_a_result_without_measure_is_no_result(lane: Lane) {
    let daemon = raw(lane, "");
    check_invalid(&daemon.call("raw", &say("deep")), "nests deeper than 100");
    check_invalid(&daemon.call("raw", &say("many")), "1000001 values");
    let many = json!({"way": "labels", "size": 1_000_000});
    check_invalid(&misbehaving(lane, "").call(PLUGIN, &many), "values, over");
}

fn a_result_must_be_one_object_that_keeps_its_schema(lane: Lane) {
    let daemon = raw(lane, "");
    let check = |way, expected| check_invalid(&daemon.call("raw", &say(way)), expected);
    check("null", "Plugin returned None");
    check("text", "Plugin output must be a dict");
    check("list", "Plugin output must be a dict");
    check("empty", "no valid JSON");
    check("two", "no valid JSON");
    check("half", "no valid JSON");
    check("lie", "broke its own schema at `/fixture`");
    assert_eq!(
        *daemon.call("raw", &say("fine")).result(),
        json!({"fixture": "raw"})
    );
    assert_eq!(daemon.plugin("raw")["error_count"], 7);
}

fn a_schema_that_need_not_be_kept_is_not_looked_at(lane: Lane) {
    let daemon = raw(lane, "plugin.raw.check_output = false");
    let answer = daemon.call("raw", &say("lie"));
    assert_eq!(*answer.result(), json!({"fixture": 7}));
}

fn a_call_without_a_name_is_for_the_default(lane: Lane) {
    let daemon = misbehaving(lane, r#"plugins.default = "misbehaves""#);
    let body = json!({"image": "YW55", "mime_type": "image/x-any"});
    let answer = daemon.post_json(&body);
    assert_eq!(answer.result()["image_bytes"], 3);
    assert_eq!(answer.body["plugin"], PLUGIN);
}

fn an_attachment_comes_with_the_result(lane: Lane) {
    let answer = misbehaving(lane, "").call(PLUGIN, &json!({"way": "attach", "size": 3}));
    let expected = json!([{"name": "a.bin", "mime_type": "application/x-ours", "data": "BwcH"}]);
    assert_eq!(answer.body["attachments"], expected);
}

fn over_its_deadline_a_call_is_a_timeout(lane: Lane) {
    let held = Held::new(lane, 2);
    let answer = held.daemon.call(PLUGIN, &held.options());
    let expected = "504 ExecutionError timeout: no answer within 300 ms";
    assert_eq!(answer.brief(), expected);
    let mut details = json!({"code": "timeout", "deadline_ms": 300});
    if lane == Lane::InProcess {
        // Code in a worker does not outlive its deadline; a thread of the daemon's cannot be ended.
        details["still_running"] = json!(true);
    }
    assert_eq!(*answer.details(), details);
    // The other thread, or the next worker, serves on.
    assert_eq!(held.daemon.plugin(PLUGIN)["lifecycle"], "READY");
    assert_eq!(held.daemon.call(PLUGIN, &way("fine")).status, 200);
}

#[test]
fn when_all_threads_hang_the_plugin_is_quarantined_until_they_end() {
    let held = Held::new(Lane::InProcess, 1);
    assert_eq!(held.daemon.call(PLUGIN, &held.options()).status, 504);
    assert_eq!(held.daemon.plugin(PLUGIN)["lifecycle"], "QUARANTINED");
    let answer = held.daemon.call(PLUGIN, &way("fine"));
    assert_eq!(answer.status, 503);
    let reason = answer.reason();
    assert!(reason.starts_with("quarantined: all 1 threads"), "{reason}");
    assert_eq!(held.daemon.get("/healthz").status, 200);
    held.let_go();
    held.daemon.wait_for(PLUGIN, "lifecycle", "READY");
    assert_eq!(held.daemon.call(PLUGIN, &way("fine")).status, 200);
}

fn a_cooperative_plugin_ends_at_its_deadline(lane: Lane) {
    let daemon = misbehaving(
        lane,
        "plugin.misbehaves = { deadline = \"100ms\", concurrency = 1 }",
    );
    let answer = daemon.call(PLUGIN, &way("wait-for-cancel"));
    assert_eq!(answer.details()["code"], "timeout");
    daemon.wait_for(PLUGIN, "in_flight", 0);
    assert_eq!(daemon.plugin(PLUGIN)["lifecycle"], "READY");
}

fn beyond_the_queue_a_call_is_turned_away(lane: Lane) {
    let daemon = misbehaving(lane, "plugin.misbehaves = { concurrency = 1, queue = 1 }");
    let (running, waiting) = (hang_up_later(&daemon), hang_up_later(&daemon));
    daemon.wait_for(PLUGIN, "in_flight", 1);
    daemon.wait_for(PLUGIN, "queued", 1);
    let answer = daemon.call(PLUGIN, &way("fine"));
    let expected =
        "429 PluginError overloaded: 1 calls are running and 1 are waiting, which is the limit";
    assert_eq!(answer.brief(), expected);
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop((running, waiting));
    daemon.wait_for(PLUGIN, "in_flight", 0);
    assert_eq!(daemon.call(PLUGIN, &way("fine")).status, 200);
}

fn hg_07_a_client_that_hangs_up_cancels_its_call(lane: Lane) {
    let daemon = misbehaving(lane, "plugin.misbehaves.concurrency = 1");
    let client = hang_up_later(&daemon);
    daemon.wait_for(PLUGIN, "in_flight", 1);
    drop(client);
    daemon.wait_for(PLUGIN, "in_flight", 0);
    daemon.wait_for(PLUGIN, "error_count", 1);
    let status = daemon.plugin(PLUGIN);
    assert_eq!(status["last_error"]["details"]["code"], "cancelled");
    assert_eq!(daemon.call(PLUGIN, &way("fine")).status, 200);
}

const PLUGIN: &str = "misbehaves";

/// A daemon whose plugin has a short deadline, and a way to hold its calls beyond that.
struct Held {
    daemon: Daemon,
    folder: Folder,
}

impl Held {
    fn new(lane: Lane, concurrency: usize) -> Self {
        let folder = Folder::of(&fixture("fixture-misbehaves"));
        let config =
            format!("plugin.misbehaves = {{ deadline = \"300ms\", concurrency = {concurrency} }}");
        let daemon = Daemon::start(&folder, &lane.config(&config));
        Self { daemon, folder }
    }

    fn options(&self) -> Value {
        json!({"way": "hold", "until": self.folder.beside("go")})
    }

    fn let_go(&self) {
        std::fs::write(self.folder.beside("go"), "").unwrap();
    }
}

fn misbehaving(lane: Lane, config: &str) -> Daemon {
    let folder = Folder::of(&fixture("fixture-misbehaves"));
    Daemon::start(&folder, &lane.config(config))
}

fn raw(lane: Lane, config: &str) -> Daemon {
    Daemon::start(&Folder::of(&frozen("raw")), &lane.config(config))
}

fn say(way: &str) -> Value {
    json!({ "say": way })
}

fn hang(millis: u32) -> Value {
    json!({"way": "hang", "millis": millis})
}

/// Which instance a call ran in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Instance {
    process: u64,
    number: u64,
}

impl Instance {
    fn of(answer: &Answer) -> Self {
        let number = |field: &str| answer.result()[field].as_u64().unwrap();
        Self {
            process: number("process"),
            number: number("instance"),
        }
    }
}

fn instance(daemon: &Daemon) -> Instance {
    Instance::of(&daemon.call(PLUGIN, &way("fine")))
}

fn instances(answers: &[Answer]) -> BTreeSet<Instance> {
    answers.iter().map(Instance::of).collect()
}

fn check_invalid(answer: &Answer, expected: &str) {
    let brief = answer.brief();
    let start = "502 ValidationError invalid_output: ";
    assert!(brief.starts_with(start), "{brief}");
    assert!(brief.contains(expected), "{brief}");
}

fn in_parallel(count: usize, call: impl Fn() -> Answer + Sync) -> Vec<Answer> {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..count).map(|_| scope.spawn(&call)).collect();
        let join = |caller: thread::ScopedJoinHandle<'_, Answer>| caller.join().unwrap();
        callers.into_iter().map(join).collect()
    })
}

/// A call that runs until its client, which is given here, is dropped.
fn hang_up_later(daemon: &Daemon) -> std::net::TcpStream {
    daemon.begin(PLUGIN, "wait-for-cancel")
}
