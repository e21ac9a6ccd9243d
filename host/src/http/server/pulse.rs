//! What a connection, its requests and its bytes know of each other.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::super::stats::EdgeStats;
use super::Endless;

/// The counts of one connection.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) stats: Arc<EdgeStats>,
    asked: AtomicU64,
    running: AtomicUsize,
    sending: AtomicUsize,
    streams: AtomicUsize,
    is_endless: AtomicBool,
    has_streamed: AtomicBool,
    written: AtomicU64,
}

impl Pulse {
    pub(super) fn new(stats: Arc<EdgeStats>) -> Self {
        Self {
            stats,
            asked: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            is_endless: AtomicBool::new(false),
            has_streamed: AtomicBool::new(false),
            written: AtomicU64::new(0),
        }
    }

    /// How many requests there were.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether requests are being answered.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Whether there are requests whose answers have not come to their end.
    pub(super) fn is_answering(&self) -> bool {
        self.is_running() || self.sending.load(Ordering::Relaxed) > 0
    }

    /// Whether an answer that does not end by itself is still on its way.
    pub(super) fn is_streaming(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    /// Whether the latest answer is one that does not end by itself.
    pub(super) fn is_endless(&self) -> bool {
        self.is_endless.load(Ordering::Relaxed)
    }

    /// Whether any answer was one that does not end by itself.
    pub(super) fn has_streamed(&self) -> bool {
        self.has_streamed.load(Ordering::Relaxed)
    }

    /// How many bytes the client has been sent.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A request, which runs until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }
}

/// Counts a request as being answered.
pub(super) struct Running(Arc<Pulse>);

impl Running {
    /// Its answer, on the way out.
    pub(super) fn answer(self, answer: Response) -> Response<Outgoing> {
        let is_endless = answer.extensions().get::<Endless>().is_some();
        self.0.is_endless.store(is_endless, Ordering::Relaxed);
        let stream = is_endless.then(|| {
            self.0.has_streamed.store(true, Ordering::Relaxed);
            self.0.streams.fetch_add(1, Ordering::Relaxed);
            Streaming(Arc::clone(&self.0))
        });
        self.0.sending.fetch_add(1, Ordering::Relaxed);
        let sending = Sending(Arc::clone(&self.0));
        answer.map(|body| Outgoing {
            body,
            _stream: stream,
            _sending: sending,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts an answer as one that does not end by itself.
struct Streaming(Arc<Pulse>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts an answer as being sent.
struct Sending(Arc<Pulse>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer.
pub(super) struct Outgoing {
    body: Body,
    _stream: Option<Streaming>,
    _sending: Sending,
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        hyper::body::Body::size_hint(&self.body)
    }
}
