//! From a connection that was accepted to one over which HTTP can be spoken. A client can take its time for that, so
//! each has a task of its own by then.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::debug;

use super::linger::Lingering;
use super::listeners::Incoming;
use super::preface::{Rewound, Version};
use super::pulse::Pulse;
use super::timed::Timed;
use super::tls::{self, Tls};
use super::transport::{Farewell, Transport};
use super::{Phase, ServerLimits, refusal};
use crate::error::CallError;

/// What HTTP is spoken over.
pub(super) type Stream = Rewound<Lingering<Timed<Transport>>>;

/// What connections are opened with.
pub(super) struct Opening {
    pub(super) limits: ServerLimits,
    pub(super) phases: watch::Receiver<Phase>,
    pub(super) pulse: Arc<Pulse>,
}

impl Opening {
    /// Shakes hands where that is due, and waits for what tells the version. Nothing where that has shown that no HTTP
    /// will be spoken.
    pub(super) async fn open(&self, incoming: Incoming) -> io::Result<Option<(Version, Stream)>> {
        let transport = match incoming {
            Incoming::Tcp(stream, _) => {
                send_at_once(&stream);
                Transport::Plain(stream)
            }
            #[cfg(unix)]
            Incoming::Socket(stream) => Transport::Socket(stream),
            Incoming::Tls(stream, _, tls) => return self.open_tls(stream, &tls).await,
        };
        let (version, stream) = Rewound::listen(self.polite(transport)).await?;
        Ok(Some((version, stream)))
    }

    async fn open_tls(
        &self,
        stream: TcpStream,
        tls: &Tls,
    ) -> io::Result<Option<(Version, Stream)>> {
        send_at_once(&stream);
        if is_plain(&stream).await? {
            self.send_away(stream).await?;
            return Ok(None);
        }
        let stream = match tls.acceptor().accept(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                self.pulse.stats.refuse();
                debug!(%error, "no TLS was agreed on");
                return Ok(None);
            }
        };
        let is_two = stream.get_ref().1.alpn_protocol() == Some(tls::H2);
        let stream = Farewell::new(stream, Arc::clone(&self.pulse));
        let stream = self.polite(Transport::Tls(Box::new(stream)));
        if is_two {
            return Ok(Some((Version::Two, Rewound::untouched(stream))));
        }
        Rewound::listen(stream).await.map(Some)
    }

    /// Says to a client that speaks plain HTTP what is spoken here.
    async fn send_away(&self, stream: TcpStream) -> io::Result<()> {
        self.pulse.stats.refuse();
        let problem = "this port speaks TLS, and the client began with plain HTTP: use https://";
        let answer = refusal::written(CallError::malformed(problem));
        let mut stream = Lingering::new(stream, self.phases.clone());
        stream.write_all(&answer).await?;
        stream.shutdown().await
    }

    fn polite<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Lingering<Timed<S>> {
        let timed = Timed::new(stream, self.limits.send_timeout, Arc::clone(&self.pulse));
        Lingering::new(timed, self.phases.clone())
    }
}

/// Answers are written whole: there is nothing to be gained by waiting for more.
fn send_at_once(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}

/// Whether a client began as HTTP does, with a verb.
async fn is_plain(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(read > 0 && first[0].is_ascii_alphabetic())
}
