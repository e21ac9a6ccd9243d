//! Compresses answers for clients that ask for it: text that is long enough to be worth it, and nothing that comes bit
//! by bit. Whoever does not ask pays nothing for it.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use tower::ServiceExt;
use tower_http::CompressionLevel;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// Fewer bytes go out in one packet anyway.
const MIN: u64 = 1024;

pub(super) async fn where_asked(request: Request, next: Next) -> Response {
    if !is_asked(request.headers()) {
        return next.run(request).await;
    }
    let compressing = Compression::new(next)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(MIN).and(is_text));
    match compressing.oneshot(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(never) => {
            let never: Infallible = never;
            match never {}
        }
    }
}

fn is_asked(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::ACCEPT_ENCODING).iter();
    encodings.any(|value| {
        let mut names = value.as_bytes().split(|byte| *byte == b',');
        names.any(|name| {
            let name = name.trim_ascii();
            name.starts_with(b"*") || name.len() >= 4 && name[..4].eq_ignore_ascii_case(b"gzip")
        })
    })
}

/// Not what comes bit by bit: a client would hear of an event only with the next.
fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| match essence.split_once('/') {
        Some(("text", kind)) => kind != "event-stream",
        Some(("application", kind)) => {
            kind == "json"
                || kind == "javascript"
                || kind == "openmetrics-text"
                || kind.ends_with("+json")
        }
        _ => false,
    })
}
