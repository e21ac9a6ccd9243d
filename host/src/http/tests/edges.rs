//! What holds for every route: envelopes, ids, origins, names that are none.

use axum::body::Body;
use axum::http::Request;
use axum::routing::get as on_get;
use axum::{Router, extract::Path};

use super::{GIF, ask, check, get, post, services};
use crate::http::guarded::Guards;

#[tokio::test]
async fn ht_14_an_unknown_plugin_is_not_found() {
    let expected = "404 plugin_not_found: no plugin `ecko`: did you mean `echo`?";
    let seen = check(post("?plugin=ecko", "image/gif", GIF), expected).await;
    assert!(seen.headers.contains_key("x-job-id"));
    assert_eq!(seen.body["error"]["details"]["available"][0], "echo");
    let expected = "503 plugin_unavailable: plugin is not available: it is cut off";
    check(post("?plugin=broken", "image/gif", GIF), expected).await;
}

#[tokio::test]
async fn ht_15_what_no_route_takes_is_an_envelope() {
    let route = async |method: &str, path: &str, expected: &str| {
        let request = Request::builder().method(method).uri(path);
        check(request.body(Body::empty()).unwrap(), expected).await
    };
    route("GET", "/v2", "404 not_found: no route `/v2`").await;
    route(
        "GET",
        "/v1/nothing",
        "404 not_found: no route `/v1/nothing`",
    )
    .await;
    route("POST", "/v1/analyze/", "404 not_found: ").await;
    route("OPTIONS", "*", "404 not_found: ").await;
    route("GET", "/v1/jobs/%ff", "400 malformed_request: ").await;
    let expected = "405 method_not_allowed: `GET` is not allowed here: use POST";
    let seen = route("GET", "/v1/analyze", expected).await;
    assert_eq!(seen.headers["allow"], "POST");
    let expected = "405 method_not_allowed: `DELETE` is not allowed here: use GET,HEAD";
    let seen = route("DELETE", "/v1/plugins", expected).await;
    assert_eq!(seen.headers["allow"], "GET,HEAD");
    route("BREW", "/healthz", "405 method_not_allowed: `BREW`").await;
}

#[tokio::test]
async fn ht_15_a_body_that_is_no_image_is_refused() {
    for content_type in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/xml; charset=utf-8",
        "application/soap+xml",
        "multipart/mixed; boundary=X",
    ] {
        let essence = content_type.split(';').next().unwrap();
        let expected = format!("415 unsupported_media_type: the route takes no `{essence}`: send");
        check(post("", content_type, GIF), &expected).await;
    }
    let mut packed = post("", "image/gif", GIF);
    let encoding = "gzip".parse().unwrap();
    packed.headers_mut().insert("content-encoding", encoding);
    let expected =
        "415 unsupported_media_type: the route takes no `body with Content-Encoding gzip`";
    check(packed, expected).await;
    let mut plain = post("", "image/gif", GIF);
    let encoding = "Identity".parse().unwrap();
    plain.headers_mut().insert("content-encoding", encoding);
    check(plain, "200 ").await;
    let mut twice = post("", "image/gif", GIF);
    twice
        .headers_mut()
        .append("content-type", "image/png".parse().unwrap());
    check(
        twice,
        "400 malformed_request: there are two Content-Type headers",
    )
    .await;
}

#[tokio::test]
async fn ht_24_names_that_are_none_reach_no_file() {
    let long = "a".repeat(10 << 10);
    for name in [
        "..%2f..%2fx",
        "%2e%2e",
        "a%00b",
        "A",
        "%20",
        "%C3%A9",
        &long,
    ] {
        check(
            get(&format!("/v1/plugins/{name}")),
            "404 plugin_not_found: no plugin `",
        )
        .await;
        let query = format!("?plugin={name}");
        let expected = if name == long {
            "is no plugin name"
        } else {
            ""
        };
        let seen = check(post(&query, "image/gif", GIF), "400 malformed_request: `").await;
        assert!(seen.line().contains(expected) && seen.line().len() < 1100);
    }
    check(get("/v1/plugins/../../x"), "404 not_found: ").await;
    check(get("/v1/plugins/%ff"), "400 malformed_request: ").await;
    check(
        get("/v1/jobs/..%2f..%2fx"),
        "404 not_found: no job `../../x`",
    )
    .await;
    check(
        get(&format!("/v1/jobs/{long}")),
        "404 not_found: no job `aaa",
    )
    .await;
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let id = async |given: &str| {
        let request = get("/v1/nothing").into_parts().0;
        let mut request = Request::from_parts(request, Body::empty());
        request
            .headers_mut()
            .insert("x-request-id", given.parse().unwrap());
        let seen = check(request, "404 ").await;
        seen.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    for good in ["a", "019a-B_c.~!", &"x".repeat(128)] {
        assert_eq!(id(good).await, good);
    }
    for bad in ["", "a b", "a\tb", &"x".repeat(129)] {
        assert_eq!(
            uuid::Uuid::parse_str(&id(bad).await)
                .unwrap()
                .get_version_num(),
            7
        );
    }
}

#[tokio::test]
async fn requests_of_foreign_pages_are_refused() {
    let from = async |headers: &str, expected: &str| {
        let mut request = Request::get("/healthz");
        for header in headers.split(" | ").filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        check(request.body(Body::empty()).unwrap(), expected).await;
    };
    for own in [
        "",
        "Host: 127.0.0.1:8077",
        "Host: 127.0.0.1",
        "Host: 10.1.2.3:80",
        "Host: [::1]:8077",
        "Host: [::1]",
        "Host: LocalHost:8077",
        "Host: 127.0.0.1:8077 | Origin: http://127.0.0.1:8077",
        "Host: localhost | Origin: http://localhost:80",
        "Host: localhost:443 | Origin: https://localhost",
        "Host: localhost | Sec-Fetch-Site: same-origin",
        "Host: localhost | Sec-Fetch-Site: none",
    ] {
        from(own, "200 ").await;
    }
    for (foreign, header) in [
        ("Host: evil.example", "Host"),
        ("Host: evil.example:8077", "Host"),
        ("Host: localhost.evil.example", "Host"),
        ("Host: 127.0.0.1.evil.example", "Host"),
        ("Host: me@127.0.0.1", "Host"),
        ("Host: ::1", "Host"),
        ("Host: [evil]", "Host"),
        ("Host: localhost | Host: evil.example", "Host"),
        ("Host: 127.0.0.1:8077 | Origin: null", "Origin"),
        (
            "Host: 127.0.0.1:8077 | Origin: http://evil.example",
            "Origin",
        ),
        (
            "Host: 127.0.0.1:8077 | Origin: http://127.0.0.1:3000",
            "Origin",
        ),
        (
            "Host: 127.0.0.1:8077 | Origin: http://localhost:8077",
            "Origin",
        ),
        (
            "Host: 127.0.0.1:8077 | Origin: ftp://127.0.0.1:8077",
            "Origin",
        ),
        ("Origin: http://127.0.0.1:8077", "Origin"),
        (
            "Host: localhost | Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site",
        ),
    ] {
        from(
            foreign,
            &format!("403 forbidden: requests with the {header} `"),
        )
        .await;
    }
    check(get("http://evil.example/healthz"), "403 forbidden: ").await;
    check(get("http://127.0.0.1/healthz"), "200 ").await;
}

#[tokio::test]
async fn what_libraries_and_panics_answer_is_an_envelope() {
    async fn number(Path(number): Path<u8>) -> String {
        assert_ne!(number, 13, "bad luck");
        "fine".to_owned()
    }
    let guards = Guards::of(&services(&[]), super::limits());
    let app = guards.round(Router::new().route("/{number}", on_get(number)));
    let seen = ask(app.clone(), get("/13")).await;
    let expected = "500 internal: a fault of the host's own; the log has it under the request's id";
    assert_eq!(seen.line(), expected);
    let seen = ask(app, get("/300")).await;
    assert!(
        seen.line()
            .starts_with("400 malformed_request: Invalid URL"),
        "{}",
        seen.line()
    );
}
