//! How calls come in over the network. Listens to nothing.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::jobs::HostPattern;
use super::units::{ByteSize, Span};

/// How calls come in over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where to listen; port 0 picks a free one. Default: `127.0.0.1:8077`.
    pub listen: SocketAddr,
    /// A Unix socket to listen on besides; whoever may open it counts as loopback. Default: none.
    pub socket: Option<PathBuf>,
    /// The mode of that socket. Default: 660.
    pub socket_mode: FileMode,
    /// Whether other machines may reach us although there are no tokens. Default: no.
    pub insecure: bool,
    /// The names that requests may call this host by, besides addresses and `localhost`. Default: none.
    pub hosts: Vec<HostPattern>,
    /// What TLS is spoken with at `listen`. Default: none is spoken.
    pub tls: Tls,
    /// The most connections at a time; others wait to be accepted. Default: 1,024.
    pub connections: usize,
    /// The most bytes of a request's head. Default: 32 KiB.
    pub max_head: ByteSize,
    /// How long a head may take, and a connection be idle. Default: 10 s.
    pub header_timeout: Span,
    /// How long a body may take to arrive. Default: 30 s.
    pub body_timeout: Span,
    /// How long a client may read nothing of its answer. Default: 30 s.
    pub send_timeout: Span,
    /// Whether answers are compressed for clients that ask for it. Default: yes.
    pub compression: bool,
    /// The largest body of a request. Default: 64 MiB.
    pub max_body: ByteSize,
    /// The most bytes of all requests in flight. Default: 512 MiB.
    pub max_in_flight: ByteSize,
    /// The most pixels that a picture's header may claim. Default: 100,000,000.
    pub max_pixels: u64,
    /// How long a stop waits for calls in flight; 0 does not wait. Default: 30 s.
    pub drain: Span,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8077)),
            socket: None,
            socket_mode: FileMode(0o660),
            insecure: false,
            hosts: Vec::new(),
            tls: Tls::default(),
            connections: 1024,
            max_head: ByteSize::new(32 << 10),
            header_timeout: Span::seconds(10),
            body_timeout: Span::seconds(30),
            send_timeout: Span::seconds(30),
            compression: true,
            max_body: ByteSize::mib(64),
            max_in_flight: ByteSize::mib(512),
            max_pixels: 100_000_000,
            drain: Span::seconds(30),
        }
    }
}

impl Server {
    /// The bytes of requests that are borne at a time: never so few that one of the largest bodies,
    /// text and image, could not come in.
    pub fn budget(&self) -> u64 {
        let one = self.max_body.bytes().saturating_mul(2);
        self.max_in_flight.bytes().max(one)
    }

    /// Whether nobody but this machine can reach `listen`.
    pub fn is_local(&self) -> bool {
        // `::ffff:127.0.0.1` is 127.0.0.1 in other clothes.
        self.listen.ip().to_canonical().is_loopback()
    }
}

/// What TLS is spoken with: both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and what vouches for it, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
}

/// Who may do what with a file, as `chmod` takes it: `"660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for FileMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Self(mode)),
            _ => Err(format!(
                "`{}` is no mode of a file: write three octal digits, as \"660\"",
                text.escape_debug()
            )),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}
