//! Server-sent events, whatever they tell: where a client goes on, and how an answer goes out that does not end.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};

use super::Api;
use super::server::Endless;
use crate::error::CallError;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks nginx, and those who follow it, to pass on what comes when it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a client waits before it comes back.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How long one waits for whom there is no place.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a client hears that there is nothing to hear.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An answer that sends frames as they come, and lets no stop of the server wait for it.
///
/// # Errors
/// `rate_limited` where there are as many as can be borne.
pub(super) fn answer(
    api: &Api,
    frames: impl Stream<Item = Frame> + Send + 'static,
) -> Result<Response, CallError> {
    let place = Arc::clone(&api.streams).try_acquire_owned();
    let place = place.map_err(|_| CallError::RateLimited {
        problem: format!(
            "{} streams of events are open, and no more are carried",
            api.limits.streams
        ),
        retry_after: AGAIN,
    })?;
    let frames = frames.map(move |frame| {
        let _held = &place;
        Ok::<_, Infallible>(frame)
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut answer = Sse::new(frames).keep_alive(keep_alive).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    answer.extensions_mut().insert(Endless);
    Ok(answer)
}

/// What a client that lost its connection says of itself when it comes back.
///
/// # Errors
/// `malformed_request` where it is no such id, or there are two.
pub(super) fn last_event_id<T: FromStr<Err: fmt::Display>>(
    headers: &HeaderMap,
) -> Result<Option<T>, CallError> {
    let mut given = headers.get_all(LAST_EVENT_ID).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        let problem = "there are two Last-Event-ID headers";
        return Err(CallError::malformed(problem));
    }
    let id = first.map(|id| String::from_utf8_lossy(id.as_bytes()).parse());
    id.transpose().map_err(CallError::malformed)
}
