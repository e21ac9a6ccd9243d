//! What can be sent to `/v1/jobs`, and what is refused before there is any job. No store is needed for that.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::super::bodies::{FILE, form};
use super::super::{check, post as analyze};
use super::*;

const MALFORMED: &str = "400 malformed_request: ";

async fn malformed(request: Request<Body>, expected: &str) {
    check(request, &format!("{MALFORMED}{expected}")).await;
}

#[tokio::test]
async fn an_analysis_says_where_the_fields_of_a_job_belong() {
    for field in ["priority", "not_before", "max_attempts", "callback_url"] {
        let belongs = |kind| format!("unknown {kind} `{field}`: only what is sent to /v1/jobs");
        let parameter = format!("?{field}=1");
        let expected = belongs("query parameter");
        malformed(analyze(&parameter, "image/gif", GIF), &expected).await;
        let part = format!("\"{field}\"");
        let body = form(&[(part.as_str(), b"1")]);
        malformed(analyze("", FORM, body), &belongs("form field")).await;
        let body = json!({ field: "1" }).to_string();
        let expected = format!("the JSON body: {}", belongs("field"));
        malformed(analyze("", "application/json", body), &expected).await;
    }
}

#[tokio::test]
async fn a_job_refuses_what_it_does_not_know() {
    let unknown = "query parameter `priorty`, did you mean `priority`?";
    let request = post("?priorty=low", "image/gif", GIF);
    malformed(request, &format!("unknown {unknown}")).await;
    let request = post("", FORM, form(&[("max_atempts", b"3")]));
    malformed(
        request,
        "unknown form field `max_atempts`, did you mean `max",
    )
    .await;
    let request = post("", "application/json", r#"{"callback": "x"}"#);
    malformed(request, "the JSON body: unknown field `callback`, ").await;
    let request = post("?priority=low", "application/json", "{}");
    let inside = "query parameter `priority` is for a raw image: a JSON body has `priority` inside";
    malformed(request, inside).await;
}

#[tokio::test]
async fn a_job_refuses_what_is_there_twice() {
    let request = post("?priority=low&priority=low", "image/gif", GIF);
    malformed(request, "duplicate query parameter `priority`").await;
    let parts: [(&str, &[u8]); 2] = [("priority", b"low"), ("priority", b"low")];
    malformed(
        post("", FORM, form(&parts)),
        "duplicate form field `priority`",
    )
    .await;
    let twice = r#"{"priority": "low", "priority": "low"}"#;
    let request = post("", "application/json", twice);
    malformed(request, "the JSON body: duplicate field `priority`").await;
}

#[tokio::test]
async fn a_wish_of_another_kind_is_refused() {
    let json = |field: &str, value: Value| {
        let mut body = json!({ "image": GIF_BASE64, "mime_type": "image/gif" });
        body[field] = value;
        post("", "application/json", body.to_string())
    };
    let attempts = "send a whole number from 1 to 100";
    let number = format!("max_attempts is `101`: {attempts}");
    malformed(json("max_attempts", 101.into()), &number).await;
    let text = format!("max_attempts is `\\\"3\\\"`: {attempts}");
    malformed(json("max_attempts", "3".into()), &text).await;
    let kind = "the JSON body: invalid type: integer `3`, expected a string";
    malformed(json("priority", 3.into()), kind).await;
    let word = "`now` is no priority: there are high, normal and low";
    malformed(json("priority", "now".into()), word).await;
    malformed(post("?priority=now", "image/gif", GIF), word).await;
    let soon = [(FILE, GIF), ("not_before", &b"soon"[..])];
    malformed(post("", FORM, form(&soon)), "not_before is `soon`: send").await;
}

#[tokio::test]
async fn headers_of_a_job_are_read_before_its_body() {
    let never = || Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    for route in ["", "/batch"] {
        let request = keyed(post(route, FORM, never()), "a b");
        malformed(
            request,
            "the header Idempotency-Key is `a b`: send 1 to 255",
        )
        .await;
        let mut request = post(route, FORM, never());
        let headers = request.headers_mut();
        headers.insert("x-deadline-ms", "0".parse().unwrap());
        malformed(request, "the header X-Deadline-Ms is `0`").await;
    }
}

#[tokio::test]
async fn the_three_bodies_say_the_same_of_a_job() {
    let host = Host::new().await;
    let as_json = json!({
        "plugin": "echo", "image": GIF_BASE64, "mime_type": "image/gif", "priority": "high",
        "not_before": FAR, "max_attempts": 7, "options": {"deep": true},
    });
    let parts: [(&str, &[u8]); 6] = [
        ("plugin", b"echo"),
        (FILE, GIF),
        ("priority", b"high"),
        ("not_before", FAR.as_bytes()),
        ("max_attempts", b"7"),
        ("options", br#"{"deep":true}"#),
    ];
    let query = format!(
        "?plugin=echo&priority=high&max_attempts=7&not_before={FAR}&options=%7B%22deep%22%3Atrue%7D"
    );
    for request in [
        post("", "application/json", as_json.to_string()),
        post("", FORM, form(&parts)),
        post(&query, "image/gif", GIF),
    ] {
        // The key tells whether they come to the same in all that counts.
        let seen = host.ask(keyed(request, "same")).await;
        let job = &seen.body;
        assert_eq!(job["priority"], "high", "{}", seen.line());
        assert_eq!(job["not_before"], "2999-12-31T00:00:00.000Z");
        assert_eq!(job["max_attempts"], 7);
        assert_eq!(
            (&job["status"], &job["waiting_for"]),
            (&json!("PENDING"), &json!("its time"))
        );
        assert_eq!(job["image_bytes"], 14);
    }
    let listed = host.ask(get("/v1/jobs")).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn null_wishes_are_none() {
    let host = Host::new().await;
    let body = json!({
        "image": GIF_BASE64, "mime_type": "image/gif", "priority": null, "not_before": null,
        "max_attempts": null, "callback_url": null,
    });
    let request = post("", "application/json", body.to_string());
    let seen = host.check(request, "202 ").await;
    assert_eq!(seen.body["priority"], "normal");
    assert_eq!(seen.body["max_attempts"], 3);
    assert!(seen.body["callback"].is_null());
}
