//! Addresses of daemons, as people write them. Knows no request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use ureq::http::Uri;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A host and a port.
    Tcp(String),
    /// A host and a port where TLS is spoken.
    Tls(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = BadAddress;

    /// Takes `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` and `unix:/PATH`.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.escape_debug().to_string());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            let is_usable = cfg!(unix) && path.is_absolute();
            return is_usable.then_some(Self::Unix(path)).ok_or_else(bad);
        }
        let (place, kind): (_, fn(String) -> Self) = match text.strip_prefix("https://") {
            Some(place) => (place, Self::Tls),
            None => (text.strip_prefix("http://").unwrap_or(text), Self::Tcp),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let uri: Uri = format!("http://{place}/").parse().map_err(|_| bad())?;
        let is_whole = uri.authority().is_some_and(|authority| authority == place);
        if is_whole && uri.port_u16().is_some_and(|port| port != 0) && !place.contains('@') {
            Ok(kind(place.to_owned()))
        } else {
            Err(bad())
        }
    }
}

impl Address {
    /// Where one that listens on `listen` can be reached from this machine; nothing where the port
    /// is only known when it listens.
    pub(super) fn of_listener(listen: SocketAddr, speaks_tls: bool) -> Option<Self> {
        let host = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let reached = SocketAddr::new(host, listen.port()).to_string();
        let kind = if speaks_tls { Self::Tls } else { Self::Tcp };
        (listen.port() != 0).then(|| kind(reached))
    }

    /// What a path has before it in a request.
    pub(super) fn base(&self) -> String {
        match self {
            Self::Tcp(_) | Self::Tls(_) => self.to_string(),
            Self::Unix(_) => "http://localhost".to_owned(),
        }
    }

    /// The same place, were TLS spoken there, or were it not; nothing where that makes no sense.
    pub(super) fn otherwise(&self) -> Option<Self> {
        match self.clone() {
            Self::Tcp(place) => Some(Self::Tls(place)),
            Self::Tls(place) => Some(Self::Tcp(place)),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => write!(f, "http://{place}"),
            Self::Tls(place) => write!(f, "https://{place}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no address of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no daemon's address: write \"http://127.0.0.1:8077\", \"127.0.0.1:8077\", \"https://host.example:8077\" or \"unix:/run/bulkhead/bulkhead.sock\""
)]
pub(super) struct BadAddress(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_addresses() {
        for (text, url) in [
            ("127.0.0.1:8077", "http://127.0.0.1:8077"),
            ("http://127.0.0.1:8077", "http://127.0.0.1:8077"),
            ("http://localhost:1/", "http://localhost:1"),
            ("[::1]:8077", "http://[::1]:8077"),
            ("https://host.example:8077/", "https://host.example:8077"),
            ("unix:/run/b.sock", "unix:/run/b.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), url, "{text}");
        }
        for bad in [
            "",
            "8077",
            "localhost",
            "http://localhost",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "https://localhost",
            "https://",
            "http://https://localhost:1",
            "http://localhost:1/v1",
            "http://me@localhost:1",
            "a b:1",
            "::1:8077",
            "unix:",
            "unix:b.sock",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_listener_is_reached_where_it_listens() {
        for (listen, url) in [
            ("127.0.0.1:8077", Some("http://127.0.0.1:8077")),
            ("0.0.0.0:80", Some("http://127.0.0.1:80")),
            ("[::]:80", Some("http://[::1]:80")),
            ("127.0.0.1:0", None),
        ] {
            let address = Address::of_listener(listen.parse().unwrap(), false);
            let found = address.map(|address| address.to_string());
            assert_eq!(found.as_deref(), url, "{listen}");
        }
        let address = Address::of_listener("0.0.0.0:80".parse().unwrap(), true);
        assert_eq!(address.unwrap().to_string(), "https://127.0.0.1:80");
    }
}
