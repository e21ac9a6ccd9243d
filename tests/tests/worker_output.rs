//! What a plugin says where it should not, or says too much of.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

use bulkhead_tests::daemon::{Answer, Daemon, way};
use bulkhead_tests::fixtures::frozen;
use bulkhead_tests::folder::Folder;
use bulkhead_tests::on_each_platform;
use bulkhead_tests::workers::{Platform, Scene, config, said};
use serde_json::{Value, json};

on_each_platform![
    ou_01_a_result_over_the_limit_is_no_result,
    ou_02_forged_words_are_a_broken_protocol,
    ou_03_a_result_that_is_no_json_object_is_no_result,
    ou_07_half_an_answer_and_death_is_no_answer,
    rn_01_an_error_is_passed_on,
    rn_08_output_by_the_megabyte_is_capped,
    rn_08_output_is_told_in_the_log_under_its_call,
];

fn ou_01_a_result_over_the_limit_is_no_result(platform: Platform) {
    let scene = Scene::new(
        platform,
        "max_output = \"4MiB\"\nmemory = \"2GiB\"\ndeadline = \"30s\"",
    );
    let long = |bytes: u64| json!({"way": "long", "bytes": bytes});
    let check = |bytes| {
        let answer = scene.check(&long(bytes), |it| it.status == 502);
        check_invalid(&answer, "over the limit of 4194304");
    };
    check(4 << 20);
    let before = scene.daemon.resident();
    // Three times the limit, and far beyond what any slot holds.
    check(12 << 20);
    check(40 << 20);
    let after = scene.daemon.resident();
    assert!(
        after < before + (32 << 20),
        "the daemon: {before} bytes, then {after}"
    );
    let answer = scene.call(&long(3 << 20));
    assert_eq!(answer.result()["text"].as_str().unwrap().len(), 3 << 20);
    check_invalid(
        &scene.call(&json!({"way": "labels", "count": 1_000_000})),
        "",
    );
}

/// Garbage, and what would be lengths and counts as large as can be.
fn ou_02_forged_words_are_a_broken_protocol(platform: Platform) {
    let scene = Scene::new(platform, "deadline = \"2s\"");
    let before = scene.daemon.resident();
    for fill in [Value::Null, json!(0xff), json!(0), json!(1)] {
        let options = json!({"way": "forge", "fill": fill});
        let answer = scene.check_codes(&options, &["protocol"]);
        let message = answer.body["error"]["message"].as_str().unwrap();
        let start = "the plugin's worker broke the protocol: ";
        assert!(message.starts_with(start), "{message}");
        assert_eq!(
            answer.details().as_object().unwrap().len(),
            1,
            "{}",
            answer.body
        );
    }
    let after = scene.daemon.resident();
    assert!(
        after < before + (16 << 20),
        "the daemon: {before} bytes, then {after}"
    );
}

fn ou_03_a_result_that_is_no_json_object_is_no_result(platform: Platform) {
    let folder = Folder::of(&frozen("raw"));
    let daemon = Daemon::start(&folder, &config(platform, ""));
    let say = |way: &str| daemon.call("raw", &json!({ "say": way }));
    for (way, expected) in [
        ("invalid-utf8", "no valid JSON"),
        ("nan", "no valid JSON"),
        ("infinity", "no valid JSON"),
        ("deep", "nests deeper than 100"),
        ("many", "1000001 values"),
        ("huge", "over the limit of 16777216"),
        ("null", "Plugin returned None"),
        ("text", "Plugin output must be a dict"),
        ("empty", "no valid JSON"),
        ("half", "no valid JSON"),
        ("lie", "broke its own schema at `/fixture`"),
    ] {
        check_invalid(&say(way), expected);
        assert_eq!(*say("fine").result(), json!({"fixture": "raw"}));
    }
    let failure = say("foreign-failure");
    assert_eq!(
        failure.brief(),
        "500 ExecutionError failed: bad \u{fffd} words"
    );
    assert_eq!(daemon.plugin("raw")["crashes"], 0);
}

fn ou_07_half_an_answer_and_death_is_no_answer(platform: Platform) {
    let scene = Scene::new(platform, "");
    for fill in [Value::Null, json!(0xff), json!(0)] {
        let options = json!({"way": "forge-and-die", "fill": fill});
        scene.check_codes(&options, &["crash", "protocol"]);
    }
}

fn rn_01_an_error_is_passed_on(platform: Platform) {
    let scene = Scene::new(platform, "");
    let details = json!({"code": "failed"});
    for _ in 0..4 {
        scene.check_brief(
            &way("fail"),
            "500 ExecutionError failed: on purpose",
            &details,
        );
    }
}

fn rn_08_output_by_the_megabyte_is_capped(platform: Platform) {
    const MOST: usize = 512 << 10;
    let scene = Scene::new(platform, "");
    let print = json!({"way": "print", "bytes": 64 << 20});
    let answer = scene.check(&print, |it| it.status == 200);
    assert_eq!(
        (said(&answer, "stdout"), said(&answer, "stderr")),
        ("done", "done")
    );
    let log = scene.daemon.log();
    assert!(log.len() < MOST, "{} bytes of log", log.len());
    assert!(log.contains("xxxx"), "nothing of it is in the log");
    assert!(log.contains("dropped"), "nobody says that it was cut");
}

fn rn_08_output_is_told_in_the_log_under_its_call(platform: Platform) {
    let scene = Scene::new(platform, "");
    let answer = scene.check(&way("print-garbage"), |it| it.status == 200);
    let request = answer.header("x-request-id").unwrap();
    let lines = bulkhead_tests::wait::until("the words to be in the log", || {
        let log = scene.daemon.log();
        log.contains("no end of line").then_some(log)
    });
    // A line that the plugin made up is a text in a line of ours.
    for line in lines.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(parsed["timestamp"].is_string(), "{line}");
        let is_it = line.contains("no end of line");
        assert!(!is_it || parsed["request"] == request, "{line}");
    }
}

fn check_invalid(answer: &Answer, expected: &str) {
    let brief = answer.brief();
    assert!(
        brief.starts_with("502 ValidationError invalid_output: "),
        "{brief}"
    );
    assert!(brief.contains(expected), "{brief}");
    assert_eq!(answer.details()["code"], "invalid_output");
}
