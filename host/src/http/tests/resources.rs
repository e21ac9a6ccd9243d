//! What can be looked at: jobs, plugins, health. And answers with more than a result.

use std::time::Duration;

use axum::body::to_bytes;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{GIF, GIF_BASE64, app, ask, check, get, limits, post, services};
use crate::error::CallError;
use crate::http::answer::Failure;
use crate::http::{ServerState, router};

async fn looked_up(query: &str, content_type: &str) -> Value {
    let app = app();
    let answer = ask(app.clone(), post(query, content_type, GIF)).await;
    let id = answer.headers["x-job-id"].to_str().unwrap();
    let seen = ask(app, get(&format!("/v1/jobs/{id}"))).await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.body["id"], id);
    seen.body
}

#[tokio::test]
async fn a_job_can_be_looked_up() {
    let job = looked_up("?plugin=copies", "image/gif").await;
    let id = job["id"].as_str().unwrap();
    let url = |name| format!("/v1/jobs/{id}/attachments/{name}");
    let expected = json!({
        "plugin": "copies", "generation": "070707070707", "status": "SUCCESS", "attempt": 1,
        "progress": 1.0, "result": {"as": 1.5}, "error": null, "mime_type": "image/gif",
        "image_sha256": null, "image_bytes": 14,
        "attachments": [
            {"name": "a \"b\"", "mime_type": "image/gif", "bytes": 14, "url": url("a%20%22b%22")},
            {"name": "c", "mime_type": "image/gif", "bytes": 14, "url": url("c")},
        ],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&job[field], value, "{field}");
    }
    for time in ["created_at", "started_at", "finished_at"] {
        assert!(job[time].as_str().unwrap().ends_with('Z'), "{time}");
    }
}

#[tokio::test]
async fn a_failed_job_has_its_error() {
    let job = looked_up("?plugin=copies", "image/png").await;
    assert_eq!(job["status"], "FAILED");
    assert_eq!(job["error"]["details"]["code"], "image_mismatch");
    assert_eq!(job["error"]["plugin"], "copies");
    assert!(job["result"].is_null() && job.get("attachments").is_none());
    check(get("/v1/jobs/nonsense"), "404 not_found: no job `nonsense`").await;
    let nil = format!("/v1/jobs/{}", uuid::Uuid::nil());
    check(get(&nil), "404 not_found: no job `00000000-").await;
}

#[tokio::test]
async fn an_answer_holds_the_plugins_own_bytes() {
    let answer = app()
        .oneshot(post("?plugin=copies", "image/gif", GIF))
        .await
        .unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let attachment = |name: &str| {
        format!(r#"{{"name":"{name}","mime_type":"image/gif","data":"{GIF_BASE64}"}}"#)
    };
    let (first, second) = (attachment(r#"a \"b\""#), attachment("c"));
    let head = "{\"result\":{ \"as\":\t1.50 },\"plugin\":\"copies\",";
    let expected = format!(r#"{head}"attachments":[{first},{second}]}}"#);
    assert_eq!(String::from_utf8_lossy(&body), expected);
}

#[tokio::test]
async fn plugins_are_listed_with_what_was_refused() {
    let seen = check(get("/v1/plugins"), "200 ").await;
    assert!(seen.body["next_cursor"].is_null());
    let items = seen.body["items"].as_array().unwrap();
    let names: Vec<_> = items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["copies", "echo", "broken"]);
    assert_eq!(items[0]["state"], "IDLE");
    let refused = json!({
        "file": "libbroken.so", "name": "broken", "lifecycle": "REJECTED", "reason": "it is cut off",
    });
    assert_eq!(items[2], refused);
}

#[tokio::test]
async fn a_plugin_is_opened_to_be_looked_at() {
    let seen = check(get("/v1/plugins/echo"), "200 ").await;
    assert_eq!(seen.body["lifecycle"], "READY");
    assert_eq!(seen.body["options_schema"], json!({"type": "object"}));
    check(get("/v1/plugins/broken"), "503 plugin_unavailable: ").await;
    let seen = check(get("/v1/plugins/eko"), "404 plugin_not_found: ").await;
    assert_eq!(
        seen.body["error"]["details"]["available"],
        json!(["echo", "copies"])
    );
}

#[tokio::test]
async fn readiness_follows_the_host() {
    let ready = async |required: &[&str], goes: fn(&ServerState), expected: &str| {
        let services = services(required);
        goes(&services.state);
        let _ = services.plugins.open("echo").await;
        let seen = ask(router(services, limits()), get("/readyz")).await;
        assert_eq!(seen.line(), expected);
    };
    let broken = r#"{"file":"libbroken.so","lifecycle":"REJECTED","plugin":"broken","reason":"it is cut off"}"#;
    let well = format!(r#"200 {{"degraded":[{broken}],"status":"ready"}}"#);
    let missing = r#"503 {"missing":["broken"],"status":"not_ready"}"#;
    let draining = r#"503 {"missing":[],"status":"draining"}"#;
    ready(&[], |_| {}, r#"503 {"missing":[],"status":"starting"}"#).await;
    ready(&["echo"], ServerState::ready, &well).await;
    ready(&["echo", "broken"], ServerState::ready, missing).await;
    ready(&[], ServerState::draining, draining).await;
    let late: fn(&ServerState) = |state| {
        state.draining();
        state.ready();
    };
    ready(&[], late, draining).await;
    check(get("/healthz"), r#"200 {"status":"ok"}"#).await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let refused = |retry_after| {
        let error = CallError::Overloaded {
            in_flight: 1,
            queued: 1,
            retry_after,
        };
        let answer = Failure::from(error).into_response();
        assert_eq!(answer.status(), 429);
        answer.headers()["retry-after"].to_str().unwrap().to_owned()
    };
    assert_eq!(refused(Duration::ZERO), "1");
    assert_eq!(refused(Duration::from_millis(1001)), "2");
    assert_eq!(refused(Duration::from_secs(7)), "7");
}

#[tokio::test]
async fn the_history_of_a_plugin_counts_the_calls_of_each_interval() {
    let services = services(&[]);
    let app = router(services.clone(), limits());
    let history = async || {
        let seen = ask(app.clone(), get("/v1/plugins/echo/history")).await;
        assert_eq!(
            (seen.status.as_u16(), &seen.body["interval_s"]),
            (200, &json!(5))
        );
        seen.body["points"].clone()
    };
    assert_eq!(history().await, json!([]));
    ask(app.clone(), post("?plugin=echo", "image/gif", GIF)).await;
    ask(app.clone(), post("?plugin=echo", "image/png", GIF)).await;
    services.plugins.sample_rates();
    services.plugins.sample_rates();
    let points = history().await;
    let [busy, idle] = points.as_array().unwrap().as_slice() else {
        panic!("{points}");
    };
    let counts = |point: &Value| (point["calls"].clone(), point["errors"].clone());
    assert_eq!(counts(busy), (json!(1), json!(0)), "a refusal is no call");
    assert_eq!(counts(idle), (json!(0), json!(0)));
    assert!(
        busy["p50_ms"].is_number() && idle["p50_ms"].is_null(),
        "{points}"
    );
    (0..200).for_each(|_| services.plugins.sample_rates());
    assert_eq!(history().await.as_array().unwrap().len(), 120);
    check(get("/v1/plugins/nobody/history"), "404 plugin_not_found: ").await;
}

#[tokio::test]
async fn what_a_browser_has_of_the_page_is_not_sent_again() {
    let page = app().oneshot(get("/")).await.unwrap();
    let tag = page.headers()["etag"].clone();
    assert_eq!(page.headers()["cache-control"], "no-cache");
    for (tag, status) in [(tag.to_str().unwrap(), 304), ("\"another\"", 200)] {
        let mut again = get("/");
        again
            .headers_mut()
            .insert("if-none-match", tag.parse().unwrap());
        let answer = app().oneshot(again).await.unwrap();
        assert_eq!(answer.status(), status);
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body.is_empty(), status == 304);
    }
    let host = ask(app(), get("/v1/host")).await.body;
    assert!(
        host["uptime_s"].is_u64() && host["version"].is_string(),
        "{host}"
    );
}
