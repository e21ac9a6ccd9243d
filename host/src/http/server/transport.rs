//! What requests come over: one type for all the ways there are, so that the parsers are built once.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

use super::pulse::Pulse;

/// A connection, as bytes.
pub(super) enum Transport {
    /// TCP.
    Plain(TcpStream),
    /// TLS on TCP.
    Tls(Box<Farewell>),
    /// A Unix socket.
    #[cfg(unix)]
    Socket(UnixStream),
}

/// A TLS connection whose client is told of its end, however it comes: one that was idle is dropped by its parser. Not
/// so in the midst of an answer, whose end must not look like one that was meant.
pub(super) struct Farewell {
    stream: TlsStream<TcpStream>,
    pulse: Arc<Pulse>,
}

impl Farewell {
    pub(super) fn new(stream: TlsStream<TcpStream>, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if self.pulse.is_answering() {
            return;
        }
        let (stream, session) = self.stream.get_mut();
        // Without effect where it was said before.
        session.send_close_notify();
        let mut now = Now(stream);
        // Who has left no room for it does not read it either.
        while session.wants_write() && session.write_tls(&mut now).is_ok_and(|sent| sent > 0) {}
    }
}

/// Writes what can be written without waiting.
struct Now<'a>(&'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Does the same to whichever it is.
macro_rules! each {
    ($transport:expr, $stream:ident => $does:expr) => {
        match $transport.get_mut() {
            Transport::Plain($stream) => $does,
            Transport::Tls(tls) => {
                let $stream = &mut tls.stream;
                $does
            }
            #[cfg(unix)]
            Transport::Socket($stream) => $does,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(tls) => tls.stream.is_write_vectored(),
            #[cfg(unix)]
            Self::Socket(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
