//! What the project's seed promised, held against the chain itself: a test double stands where a
//! lane does.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in here is a failed test, which says the line"
)]

mod chain;

use std::sync::Arc;

use chain::{Chain, Does, brief, call, request};
use serde_json::{Value, json};
use tokio::sync::Notify;

#[tokio::test]
async fn happy_path() {
    let chain = Chain::of(Does::Answer(r#"{"ok": true}"#));
    assert_eq!(chain.analyze(b"123", "image/png").await, r#"{"ok": true}"#);
    assert_eq!(chain.counts(), (1, 0, "SUCCESS"));
    assert_eq!(chain.double.taken(), ["image/png 123 {}"]);
}

#[tokio::test]
async fn input_is_validated_before_the_plugin_is_touched() {
    let chain = Chain::of(Does::Answer("{}"));
    let empty = chain.analyze(b"", "image/png").await;
    assert_eq!(empty, "ValidationError empty_image: Empty image payload");
    for nonsense in ["", "png", "image/"] {
        let missing = chain.analyze(b"123", nonsense).await;
        let expected = "ValidationError missing_mime_type: Missing or invalid mime_type";
        assert_eq!(missing, expected, "{nonsense:?}");
    }
    assert_eq!(chain.counts(), (0, 0, "IDLE"));
    assert!(chain.double.taken().is_empty());
}

#[tokio::test]
async fn output_is_validated() {
    let check = async |answer, expected: &str| {
        let chain = Chain::of(Does::Answer(answer));
        assert_eq!(chain.analyze(b"123", "image/png").await, expected);
        let counts = if expected.contains("invalid_output") {
            (0, 1, "ERROR")
        } else {
            (1, 0, "SUCCESS")
        };
        assert_eq!(chain.counts(), counts, "{answer}");
    };
    let none = "ValidationError invalid_output: Plugin returned None";
    let no_dict = "ValidationError invalid_output: Plugin output must be a dict";
    check("null", none).await;
    check(r#""not a dict""#, no_dict).await;
    check("[1]", no_dict).await;
    check("7", no_dict).await;
    check(r#"{"ok": true}"#, r#"{"ok": true}"#).await;
}

#[tokio::test]
async fn every_error_has_the_form_of_the_envelope() {
    let chain = Chain::of(Does::Fail("boom"));
    let envelope = chain.refuse(b"123", "image/png").await;
    let document = serde_json::to_value(&*envelope).unwrap();
    let error = &document["error"];
    assert_eq!(error["type"], "ExecutionError");
    assert_eq!(error["message"], "boom");
    assert_eq!(error["plugin"], "double");
    assert_eq!(error["details"]["code"], "failed");
    assert!(error["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(document["_internal"]["traceback"].is_string());
}

#[tokio::test]
async fn unstructured_errors_become_envelopes() {
    let check = async |does: Does, expected: &str| {
        let chain = Chain::of(does);
        assert_eq!(chain.analyze(b"123", "image/png").await, expected);
        assert_eq!(chain.counts(), (0, 1, "ERROR"));
    };
    let internal =
        "ExecutionError internal: a fault of the host's own; the log has it under the request's id";
    check(Does::Fail("kaboom"), "ExecutionError failed: kaboom").await;
    check(Does::Panic("kaboom"), internal).await;
    check(Does::PanicAtOnce("kaboom"), internal).await;
}

#[tokio::test]
async fn a_panic_of_the_hosts_own_costs_one_call() {
    let chain = Chain::of(Does::Panic("kaboom"));
    let envelope = chain.refuse(b"123", "image/png").await;
    assert_eq!(envelope.internal.traceback.as_str(), "panic: kaboom");
    chain.double.then(Does::Answer(r#"{"ok": true}"#));
    assert_eq!(chain.analyze(b"123", "image/png").await, r#"{"ok": true}"#);
    assert_eq!(chain.counts(), (1, 1, "SUCCESS"));
    assert_eq!(chain.status().in_flight, 0);
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_an_envelope_too() {
    let chain = Chain::of(Does::Answer("{}"));
    let mut request = request(b"123", "image/png");
    request.plugin = Some("duoble".to_owned());
    let refusal = chain.analysis.analyze(request).await.unwrap_err();
    let expected = "PluginError plugin_not_found: no plugin `duoble`: did you mean `double`?";
    assert_eq!(brief(&refusal.envelope), expected);
    let available = &refusal.envelope.error.details["available"];
    assert_eq!(*available, json!(["double"]));
}

#[tokio::test]
async fn every_call_goes_through_the_runner() {
    let chain = Chain::of(Does::Answer("{}"));
    let call = || Arc::new(call(b"123", "image/png"));
    chain.plugins.execute_plugin(call()).await.unwrap();
    let job = chain.jobs.create_job(call());
    chain.jobs.run_job(job).await.unwrap();
    chain.analyze(b"123", "image/png").await;
    assert_eq!(chain.double.taken().len(), 3);
    assert_eq!(chain.counts(), (3, 0, "SUCCESS"));
}

#[tokio::test]
async fn jobs_delegate_to_plugin_management() {
    let chain = Chain::of(Does::Answer(r#"{"ok": true}"#));
    let id = chain.jobs.create_job(Arc::new(call(b"123", "image/png")));
    let job = || chain.jobs.get_job(&id.to_string(), None).unwrap();
    assert_eq!((job().status(), job().attempt()), ("PENDING", 0));
    assert!(chain.double.taken().is_empty());
    let result = chain.jobs.run_job(id).await.unwrap();
    assert_eq!(result.json(), r#"{"ok": true}"#.as_bytes());
    assert_eq!((job().status(), job().attempt()), ("SUCCESS", 1));
    assert_eq!(chain.double.taken(), ["image/png 123 {}"]);
}

#[tokio::test]
async fn a_job_that_fails_ends_once() {
    let chain = Chain::of(Does::Fail("kaboom"));
    let id = chain.jobs.create_job(Arc::new(call(b"123", "image/png")));
    let envelope = chain.jobs.run_job(id).await.unwrap_err();
    assert_eq!(brief(&envelope), "ExecutionError failed: kaboom");
    let job = chain.jobs.get_job(&id.to_string(), None).unwrap();
    assert_eq!(job.status(), "FAILED");
    let again = chain.jobs.run_job(id).await.unwrap_err();
    assert_eq!(again.error.details["code"], "not_found");
    assert_eq!(chain.double.taken().len(), 1);
}

#[tokio::test]
async fn all_status_names_its_plugins() {
    let chain = Chain::of(Does::Answer("{}"));
    let status = || serde_json::to_value(chain.plugins.all_status()).unwrap()[0].clone();
    let before = status();
    assert_eq!(before["name"], "double");
    assert_eq!(before["state"], "IDLE");
    for unknown in [
        "last_used",
        "last_execution_time_ms",
        "avg_execution_time_ms",
    ] {
        assert_eq!(before[unknown], Value::Null, "{unknown}");
    }
    chain.analyze(b"123", "image/png").await;
    let after = status();
    assert_eq!(after["state"], "SUCCESS");
    assert!(after["last_used"].is_string());
    assert!(after["avg_execution_time_ms"].is_number());
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_the_call_recorded() {
    let gate = Arc::new(Notify::new());
    let chain = Chain::of(Does::Wait(Arc::clone(&gate)));
    let analysis = Arc::clone(&chain.analysis);
    let request = request(b"123", "image/png");
    let caller = tokio::spawn(async move { analysis.analyze(request).await.is_ok() });
    chain.double.entered().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    // The code still runs, so its place is not free, and nothing is counted yet.
    assert!(chain.double.was_cancelled());
    assert_eq!(chain.status().in_flight, 1);
    assert_eq!(chain.counts(), (0, 0, "IDLE"));
    gate.notify_one();
    chain.all_ended().await;
    assert_eq!(chain.status().in_flight, 0);
    assert_eq!(chain.counts(), (1, 0, "SUCCESS"));
}

#[tokio::test(start_paused = true)]
async fn over_its_deadline_a_call_is_a_timeout() {
    let chain = Chain::of(Does::Wait(Arc::default()));
    let envelope = chain.refuse(b"123", "image/png").await;
    let expected = "ExecutionError timeout: no answer within 30000 ms";
    assert_eq!(brief(&envelope), expected);
    assert_eq!(envelope.error.details["deadline_ms"], 30_000);
    assert_eq!(chain.counts(), (0, 1, "ERROR"));
    assert!(chain.double.was_cancelled());
}
