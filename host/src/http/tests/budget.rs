//! The bytes of all requests in flight: counted, given back, and no more than the host bears.

use std::io;

use axum::body::Body;
use futures_util::stream;
use serde_json::json;

use super::{BUDGET, GIF, GIF_BASE64, Seen, ask, limits, plugin, post, services_of};
use crate::call::{Call, Outcome, RawOutput};
use crate::http::{Services, router};

/// Tells how many bytes of the budget it holds.
fn tell_held(call: &Call) -> Outcome {
    let held = call.held.as_ref().map(|held| held.bytes());
    Ok(RawOutput {
        json: json!({ "held": held }).to_string().into(),
        attachments: Vec::new(),
    })
}

fn services() -> Services {
    services_of(&[], [plugin("echo", tell_held)])
}

async fn answer(services: &Services, content_type: &str, body: impl Into<Body>) -> Seen {
    let app = router(services.clone(), limits());
    ask(app, post("", content_type, body)).await
}

fn form() -> String {
    let image = String::from_utf8_lossy(GIF);
    let head =
        "Content-Disposition: form-data; name=\"image\"; filename=\"a\"\r\nContent-Type: image/gif";
    format!("--X\r\n{head}\r\n\r\n{image}\r\n--X--\r\n")
}

const FORM: &str = "multipart/form-data; boundary=X";

#[tokio::test]
async fn a_call_holds_its_image_and_gives_it_back() {
    let json = json!({ "image": GIF_BASE64, "mime_type": "image/gif", "options": {} }).to_string();
    let services = services();
    for (content_type, body, held) in [
        ("image/gif", GIF.to_vec(), 14),
        ("application/json", json.into_bytes(), 16),
        (FORM, form().into_bytes(), 14),
    ] {
        for is_chunked in [false, true] {
            let body = body.clone();
            let body = if is_chunked {
                Body::from_stream(stream::iter([Ok::<_, io::Error>(body)]))
            } else {
                Body::from(body)
            };
            let seen = answer(&services, content_type, body).await;
            assert_eq!(seen.body["result"]["held"], held, "{content_type}");
            assert_eq!(services.budget.in_flight(), 0, "{content_type}");
        }
    }
}

#[tokio::test]
async fn what_the_host_cannot_bear_is_refused_before_it_is_read() {
    let refused = async |services: &Services, content_type: &str, body: Body| {
        let seen = answer(services, content_type, body).await;
        let expected =
            "429 overloaded: requests of 2097052 bytes are in flight, and 2097152 is the limit";
        assert!(seen.line().starts_with(expected), "{}", seen.line());
        assert_eq!(seen.headers["retry-after"], "1");
        assert_eq!(seen.headers["connection"], "close");
        let details = &seen.body["error"]["details"];
        assert_eq!(details["bytes_in_flight"], BUDGET - 100);
        assert_eq!(details["limit"], BUDGET);
    };
    let services = services();
    let others = services.budget.reserve(BUDGET - 100).unwrap();
    for content_type in ["image/gif", "application/json", FORM] {
        let size = if content_type == "application/json" {
            60
        } else {
            101
        };
        refused(&services, content_type, vec![b' '; size].into()).await;
        // One that is not announced is refused when it comes to it.
        let chunks = [
            Ok::<_, io::Error>(vec![b' '; size]),
            Err(io::Error::other("was read")),
        ];
        let chunked = Body::from_stream(stream::iter(chunks));
        refused(&services, content_type, chunked).await;
    }
    let fits = answer(&services, "image/gif", GIF).await;
    assert_eq!(fits.status, 200);
    assert_eq!(services.budget.in_flight(), BUDGET - 100);
    drop(others);
    assert_eq!(services.budget.in_flight(), 0);
}

#[tokio::test]
async fn a_body_that_is_refused_holds_nothing() {
    let services = services();
    for (content_type, body) in [
        ("application/json", "{"),
        ("application/json", r#"{"image": "*"}"#),
        (FORM, "--X\r\n"),
        ("image/png", "GIF89a"),
    ] {
        let seen = answer(&services, content_type, body).await;
        assert!(seen.status.is_client_error(), "{}", seen.line());
        assert_eq!(services.budget.in_flight(), 0, "{content_type}");
    }
}
