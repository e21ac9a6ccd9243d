//! Stands between a connection and the parser of HTTP/1. The parser takes some heads that another reader of the same
//! bytes would understand otherwise, and refuses others without a word: here the former do not pass, and both are
//! answered with an envelope. Bodies are stepped over.

mod chunks;
mod head;
mod scanner;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;
use super::refusal;
use crate::error::CallError;
use scanner::Scanner;

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Tls,
    BareLineFeed,
    FoldedLine,
    BadLength,
    TwoLengths,
    Encoding,
    LengthAndEncoding,
    NoHost,
    TwoHosts,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Tls => "this port speaks plain HTTP, and the client began with TLS: use http://",
            Self::BareLineFeed => {
                "a line of the request's head ends with a line feed alone: end each with CR LF"
            }
            Self::FoldedLine => "a header goes on in a second line: write each header in one line",
            Self::BadLength => {
                "the Content-Length is no number, or none that a body can have: write it in decimal digits"
            }
            Self::TwoLengths => {
                "there are several Content-Length headers, and they differ: send one"
            }
            Self::Encoding => {
                "the Transfer-Encoding is not `chunked`: no other is supported, nor two of them"
            }
            Self::LengthAndEncoding => {
                "there are both Content-Length and Transfer-Encoding: send one of them"
            }
            Self::NoHost => "there is no Host header: HTTP/1.1 needs one",
            Self::TwoHosts => "there are several Host headers: send one",
        }
    }
}

/// The most bytes of an answer that the parser makes by itself.
const MAX_OWN_ANSWER: usize = 256;

/// A connection whose heads are looked at.
pub(super) struct Framed<S> {
    stream: S,
    scanner: Scanner,
    pulse: Arc<Pulse>,
    max_head: usize,
    refusal: Vec<u8>,
    sent: usize,
}

impl<S: AsyncWrite + Unpin> Framed<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, max_head: usize) -> Self {
        Self {
            stream,
            scanner: Scanner::default(),
            pulse,
            max_head,
            refusal: Vec::new(),
            sent: 0,
        }
    }

    /// Takes an answer that the parser has made by itself, and puts a better one in its place. Whoever has begun a
    /// head that nobody was asked for is the only one who can be sent such an answer.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        if self.scanner.heads() <= self.pulse.asked() {
            return false;
        }
        let Some(status) = own_answer(bytes) else {
            return false;
        };
        let error = match (self.scanner.fault(), status) {
            (Some(fault), _) => CallError::malformed(fault.words()),
            (None, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG) => {
                let limit = self.max_head as u64;
                CallError::HeadTooLarge { limit }
            }
            (None, _) => CallError::malformed("the head of the request is not HTTP/1.1"),
        };
        self.pulse.stats.refuse();
        self.refusal = refusal::written(error);
        true
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.refusal.len() {
            let rest = &self.refusal[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that the parser has made: a head alone, without the id that all of ours have.
fn own_answer(bytes: &[u8]) -> Option<StatusCode> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 ")?;
    let is_head = bytes.len() <= MAX_OWN_ANSWER && bytes.ends_with(b"\r\n\r\n");
    let mut lines = rest.split(|byte| *byte == b'\n');
    let is_ours = |line: &[u8]| line.to_ascii_lowercase().starts_with(b"x-request-id:");
    let is_empty = || bytes.windows(4).position(|it| it == b"\r\n\r\n") == Some(bytes.len() - 4);
    if !is_head || !is_empty() || lines.any(is_ours) {
        return None;
    }
    let status = StatusCode::from_bytes(rest.get(..3)?).ok()?;
    status.is_client_error().then_some(status)
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.scanner.is_over() {
            buffer.put_slice(self.scanner.owed());
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let passed = self.scanner.scan(&mut buffer.filled_mut()[before..]);
        buffer.set_filled(before + passed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [bytes] = slices
            && self.replaces(bytes)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
