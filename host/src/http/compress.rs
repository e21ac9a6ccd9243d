//! Compresses answers for clients that ask for it: text that is long enough to be worth it, and nothing that comes bit
//! by bit. Whoever does not ask pays nothing for it.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use axum::response::Response;
use tower::{ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// Fewer bytes go out in one packet anyway.
const MIN: u64 = 1024;

/// Has `next` answer a request, and packs the answer where that is worth it.
pub(super) async fn compressed<F>(request: Request, next: impl FnMut(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let mut next = next;
    let answering = service_fn(|request| {
        let answer = next(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let compressing = Compression::new(answering)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(MIN).and(is_text));
    let Ok(answer) = compressing.oneshot(request).await;
    answer.map(Body::new)
}

/// Whether the client takes what is packed.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
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
