//! Where traces go. Sends nothing.

use std::net::Ipv6Addr;

use serde::Deserialize;

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// `telemetry.otlp`
    pub otlp: Option<Collector>,
    /// `telemetry.sample`
    pub sample: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp: None,
            sample: 100,
        }
    }
}

/// The address of a collector: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Collector(String);

impl Collector {
    /// The address, without a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Collector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bare = text.trim_end_matches('/');
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| bare.strip_prefix(scheme));
        match host {
            Some(authority) if is_authority(authority) => Ok(Self(bare.to_owned())),
            _ => Err(format!(
                "`{}` is no collector: write \"http://127.0.0.1:4318\"",
                text.escape_debug()
            )),
        }
    }
}

/// Whether something is `HOST` or `HOST:PORT`.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_host = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_sign),
    };
    let is_port =
        |port: &str| port.bytes().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_that_can_be_called() {
        let read = |text: &str| Collector::try_from(text.to_owned());
        for good in [
            "http://127.0.0.1:4318",
            "https://otel-collector_1.example",
            "http://[::1]",
            "http://[::1]:4318/",
        ] {
            let read = read(good).unwrap();
            assert_eq!(read.as_str(), good.trim_end_matches('/'));
        }
        for bad in [
            "http://",
            "http://a:99999",
            "http://a:",
            "http://a:+1",
            "http://:1",
            "http://[::1",
            "http://::1",
            "http://\u{e9}",
            "http://a\0",
            "http://u:p@a",
            "http://a/v1",
            "ftp://a",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
