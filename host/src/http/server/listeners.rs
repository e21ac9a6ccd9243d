//! Where connections come in. Knows not what comes over them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpListener, TcpStream};

#[cfg(unix)]
use super::socket::Socket;
use super::tls::{CertificateFiles, Tls, TlsError};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The address; port 0 picks a free one.
    pub address: SocketAddr,
    /// What TLS is spoken with there, if it is.
    pub tls: Option<CertificateFiles>,
    /// A Unix socket besides, with its mode.
    pub socket: Option<(PathBuf, u32)>,
}

/// Why nobody can be listened to.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket cannot be made.
    #[error("cannot listen on the socket `{}`: {source}", path.display())]
    Socket {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process listens there.
    #[error("the socket `{}` is in use: another process listens on it; stop it, or set another `server.socket`", .0.display())]
    SocketInUse(PathBuf),
    /// What is there is not ours to replace.
    #[error("`server.socket`: `{}` is there already and is no socket: remove it, or set another path", .0.display())]
    NoSocket(PathBuf),
}

/// What listens.
pub struct Listeners {
    tcp: TcpListener,
    tls: Option<Tls>,
    #[cfg(unix)]
    socket: Option<Socket>,
}

/// A connection that was accepted, of which nothing was read.
pub(super) enum Incoming {
    /// Over TCP, from this address.
    Tcp(TcpStream, SocketAddr),
    /// Over TCP, and TLS is to be spoken.
    Tls(TcpStream, SocketAddr, Tls),
    /// Over a Unix socket.
    #[cfg(unix)]
    Socket(UnixStream),
}

impl Incoming {
    /// Where it comes from, unless that is this machine's socket.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, peer) | Self::Tls(_, peer, _) => Some(*peer),
            #[cfg(unix)]
            Self::Socket(_) => None,
        }
    }
}

impl Listeners {
    /// Listens at all these places.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn bind(places: Places) -> Result<Self, ListenError> {
        let Places {
            address,
            tls,
            socket,
        } = places;
        let tls = tls.map(Tls::read).transpose()?;
        let tcp = TcpListener::bind(address).await;
        let tcp = tcp.map_err(|source| ListenError::Address { address, source })?;
        let mut listeners = Self {
            tls,
            ..Self::from(tcp)
        };
        if let Some((path, mode)) = socket {
            listeners.add_socket(path, mode).await?;
        }
        Ok(listeners)
    }

    #[cfg(unix)]
    async fn add_socket(&mut self, path: PathBuf, mode: u32) -> Result<(), ListenError> {
        let socket = Socket::bind(&path, mode).await?;
        tracing::info!(socket = %socket.path().display(), "listening on a Unix socket");
        self.socket = Some(socket);
        Ok(())
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_async, reason = "as where there are such sockets")]
    async fn add_socket(&mut self, path: PathBuf, _: u32) -> Result<(), ListenError> {
        let source = io::ErrorKind::Unsupported.into();
        Err(ListenError::Socket { path, source })
    }

    /// What clients are to call: `http://ADDR`, or `https://ADDR`.
    ///
    /// # Errors
    /// When the system does not say which port it has picked.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let address = self.tcp.local_addr()?;
        Ok(format!("{scheme}://{address}"))
    }

    /// What TLS is spoken with, if it is.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The next connection, wherever it comes in.
    pub(super) async fn accept(&self) -> io::Result<Incoming> {
        tokio::select! {
            accepted = self.tcp.accept() => accepted.map(|(stream, peer)| match &self.tls {
                None => Incoming::Tcp(stream, peer),
                Some(tls) => Incoming::Tls(stream, peer, tls.clone()),
            }),
            accepted = self.accept_local() => accepted,
        }
    }

    #[cfg(unix)]
    async fn accept_local(&self) -> io::Result<Incoming> {
        match &self.socket {
            Some(socket) => socket.accept().await.map(Incoming::Socket),
            None => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    async fn accept_local(&self) -> io::Result<Incoming> {
        std::future::pending().await
    }
}

impl From<TcpListener> for Listeners {
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            tls: None,
            #[cfg(unix)]
            socket: None,
        }
    }
}
