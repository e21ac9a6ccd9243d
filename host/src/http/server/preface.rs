//! Which version of HTTP a client begins with. What was read to tell is read once more by whoever speaks it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1, whichever.
    One,
    /// HTTP/2.
    Two,
}

/// A stream with its first bytes before it again.
pub(super) struct Rewound<S> {
    stream: S,
    first: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    /// A stream of which nothing was read.
    pub(super) fn untouched(stream: S) -> Self {
        Self {
            stream,
            first: [0; PREFACE.len()],
            from: 0,
            to: 0,
        }
    }

    /// Reads until it is clear what is spoken.
    pub(super) async fn listen(stream: S) -> io::Result<(Version, Self)> {
        let mut this = Self::untouched(stream);
        loop {
            let read = this.stream.read(&mut this.first[this.to..]).await?;
            this.to += read;
            let is_preface = this.first[..this.to] == PREFACE[..this.to];
            if read == 0 || !is_preface {
                return Ok((Version::One, this));
            }
            if this.to == PREFACE.len() {
                return Ok((Version::Two, this));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.from < this.to {
            let count = buffer.remaining().min(this.to - this.from);
            buffer.put_slice(&this.first[this.from..this.from + count]);
            this.from += count;
            // What comes with it saves a second round; what goes wrong with that is found the next time.
            let _ = Pin::new(&mut this.stream).poll_read(cx, buffer);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
