//! Reads a body within its limits. Knows nothing of what is in it.

use std::error::Error;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

use crate::error::CallError;
use crate::http::HttpLimits;

/// The most that is reserved on the word of a header; the rest as it arrives.
const MAX_RESERVED: usize = 1 << 20;

/// Refuses bodies that would have to be unpacked: nobody can say how large they are inside.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), CallError> {
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    let foreign = encodings
        .iter()
        .find(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    foreign.map_or(Ok(()), |value| {
        let encoding = String::from_utf8_lossy(value.as_bytes());
        let found = format!("body with Content-Encoding {}", encoding.escape_debug());
        Err(CallError::UnsupportedBody { found })
    })
}

/// The whole body.
///
/// # Errors
/// `payload_too_large`, at once where the head says so; `request_timeout`; `malformed_request`
/// where it breaks off.
pub(super) async fn read(body: Body, limits: HttpLimits) -> Result<Vec<u8>, CallError> {
    let announced = body.size_hint().lower();
    if announced > limits.max_body as u64 {
        return Err(too_large(limits.max_body));
    }
    let limit = limits.body_timeout;
    tokio::time::timeout(limit, collect(body, limits.max_body))
        .await
        .unwrap_or(Err(CallError::SlowRequest { limit }))
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, CallError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = Vec::with_capacity(announced.min(MAX_RESERVED));
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        if chunk.len() > limit - whole.len() {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

fn too_large(limit: usize) -> CallError {
    CallError::TooLarge {
        limit: limit as u64,
    }
}

fn broken_off(error: &dyn Error) -> CallError {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    // A wrapper often says only what it wraps.
    causes.dedup();
    CallError::malformed(format_args!("the body broke off: {}", causes.join(": ")))
}
