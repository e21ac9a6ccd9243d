//! Compresses answers for clients that ask for it: text that is long enough to be worth it, and nothing that comes bit
//! by bit. Whoever does not ask pays nothing for it.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use tower::{ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// Fewer bytes go out in one packet anyway.
const MIN: u64 = 1024;

/// Has `next` answer a request, and packs the answer where that is worth it.
pub(super) async fn compressed<F>(
    mut request: Request,
    mut next: impl FnMut(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    // Said in one word: what a client wants besides would be refused when it was done already.
    let word = HeaderValue::from_static("gzip");
    request.headers_mut().insert(header::ACCEPT_ENCODING, word);
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

/// Whether a client takes gzip: by its name, or for want of that as one of all there are.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let entries: Vec<_> = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .collect();
    let of = |name: &[u8]| entries.iter().find_map(|entry| weight(entry, name));
    of(b"gzip").or_else(|| of(b"*")).unwrap_or(false)
}

/// Whether an entry gives any weight to `name`; nothing where it is of another.
fn weight(entry: &[u8], name: &[u8]) -> Option<bool> {
    let mut parts = entry.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let is_taken = parts.all(|part| {
        let value = part.strip_prefix(b"q=").or(part.strip_prefix(b"Q="));
        let value = value.and_then(|value| std::str::from_utf8(value).ok());
        value.is_some_and(|value| value.parse().is_ok_and(|weight: f32| weight > 0.0))
    });
    Some(is_taken)
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
