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
    /// `server.listen`
    pub listen: SocketAddr,
    /// `server.socket`
    pub socket: Option<PathBuf>,
    /// `server.socket_mode`
    pub socket_mode: FileMode,
    /// `server.insecure`
    pub insecure: bool,
    /// `server.hosts`
    pub hosts: Vec<HostPattern>,
    /// `server.tls`
    pub tls: Tls,
    /// `server.connections`
    pub connections: usize,
    /// `server.max_head`
    pub max_head: ByteSize,
    /// `server.header_timeout`
    pub header_timeout: Span,
    /// `server.body_timeout`
    pub body_timeout: Span,
    /// `server.send_timeout`
    pub send_timeout: Span,
    /// `server.compression`
    pub compression: bool,
    /// `server.max_body`
    pub max_body: ByteSize,
    /// `server.max_in_flight`
    pub max_in_flight: ByteSize,
    /// `server.max_pixels`
    pub max_pixels: u64,
    /// `server.drain`
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

    /// How many connections may be streams of events at a time: never so many that nobody else could be answered.
    pub fn streams(&self) -> usize {
        (self.connections - self.connections / 4).max(1)
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
    /// `server.tls.certificate`
    pub certificate: Option<PathBuf>,
    /// `server.tls.key`
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Whether it is spoken.
    pub fn is_spoken(&self) -> bool {
        self.certificate.is_some()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_take_three_connections_of_four() {
        for (connections, streams) in [(1, 1), (2, 2), (4, 3), (20, 15), (1024, 768)] {
            let server = Server {
                connections,
                ..Server::default()
            };
            assert_eq!(server.streams(), streams, "{connections}");
        }
    }
}
