//! A stream that is closed politely. Closing a socket with unread bytes resets it, and the reset
//! overtakes the answer: a client that was still sending when it was refused would never read why.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::Phase;

/// How long a client may go on sending after it was answered.
const GRACE: Duration = Duration::from_secs(2);

/// A stream that, once it is shut down, reads on for a while and discards what comes.
pub(super) struct Lingering<S> {
    stream: S,
    phases: watch::Receiver<Phase>,
    end: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    /// A stream that lingers as long as the server serves: a stop waits for nobody's manners.
    pub(super) fn new(stream: S, phases: watch::Receiver<Phase>) -> Self {
        Self {
            stream,
            phases,
            end: None,
        }
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
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
        if self.end.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if *self.phases.borrow() != Phase::Serving {
                return Poll::Ready(Ok(()));
            }
            self.end = Some(Box::pin(tokio::time::sleep(GRACE)));
        }
        let is_over = self
            .end
            .as_mut()
            .is_some_and(|end| end.as_mut().poll(cx).is_ready());
        if is_over || self.poll_discard(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}
