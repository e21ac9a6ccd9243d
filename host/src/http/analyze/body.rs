//! Reads a body within its limits. Knows nothing of what is in it.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::budget::Reservation;
use crate::error::CallError;
use crate::http::{Api, HttpLimits};

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

/// A body on its way in, within its limits of size and time and within the host's budget.
pub(super) struct Intake {
    chunks: BodyDataStream,
    announced: Option<usize>,
    // What may still come, and what of it was reserved ahead.
    left: usize,
    ahead: usize,
    limits: HttpLimits,
    until: Instant,
    held: Held,
    weigh: Weigh,
}

/// How many bytes of memory so many bytes of a body come to.
pub(super) type Weigh = fn(u64) -> u64;

/// The body's share of the budget, which outlives it.
#[derive(Clone)]
pub(super) struct Held(Arc<Mutex<Option<Reservation>>>);

impl Intake {
    /// Reserves at once what the head announces.
    ///
    /// # Errors
    /// `payload_too_large` where the head says so, `overloaded` where the budget is used up.
    pub(super) fn open(body: Body, api: &Api, weigh: Weigh) -> Result<Self, CallError> {
        let (size, limits) = (body.size_hint(), api.limits);
        if size.lower() > limits.max_body as u64 {
            return Err(too_large(limits.max_body));
        }
        let held = api.services.budget.reserve(weigh(size.lower()))?;
        let length = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Self {
            chunks: body.into_data_stream(),
            announced: size.exact().map(length),
            left: limits.max_body,
            ahead: length(size.lower()),
            limits,
            until: Instant::now() + limits.body_timeout,
            held: Held(Arc::new(Mutex::new(Some(held)))),
            weigh,
        })
    }

    /// How long the body is, where its head says so.
    pub(super) fn announced(&self) -> Option<usize> {
        self.announced
    }

    /// Its share of the budget.
    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// `payload_too_large`, `overloaded`, `request_timeout`; `malformed_request` where it breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let limit = self.limits.body_timeout;
        let next = tokio::time::timeout_at(self.until, self.chunks.next()).await;
        let next = next.map_err(|_| CallError::SlowRequest { limit })?;
        let Some(chunk) = next.transpose().map_err(|error| broken_off(&error))? else {
            return Ok(None);
        };
        let left = self.left.checked_sub(chunk.len());
        self.left = left.ok_or_else(|| too_large(self.limits.max_body))?;
        let unexpected = chunk.len().saturating_sub(self.ahead);
        self.ahead = self.ahead.saturating_sub(chunk.len());
        if unexpected > 0 {
            self.held.grow((self.weigh)(unexpected as u64))?;
        }
        Ok(Some(chunk))
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(super) async fn whole(&mut self) -> Result<Vec<u8>, CallError> {
        let mut whole = Vec::with_capacity(self.ahead.min(MAX_RESERVED));
        while let Some(chunk) = self.next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

impl Held {
    /// Takes the share over, down to `bytes`: the rest of the memory is free again.
    pub(super) fn take(&self, bytes: usize) -> Option<Reservation> {
        let mut held = self.lock().take();
        if let Some(held) = &mut held {
            held.shrink_to(bytes as u64);
        }
        held
    }

    /// Takes `bytes` of the budget besides.
    ///
    /// # Errors
    /// `overloaded` where there are not as many left.
    pub(super) fn grow(&self, bytes: u64) -> Result<(), CallError> {
        let mut held = self.lock();
        held.as_mut().map_or(Ok(()), |held| held.grow(bytes))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Reservation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
