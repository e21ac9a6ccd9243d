//! Who may be told of the ends of jobs, and with which proof that it was us. Sends nothing.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use crate::config::units::Span;

/// Who is told of the ends of jobs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callbacks {
    /// `jobs.callbacks.hosts`
    pub hosts: Vec<HostPattern>,
    /// `jobs.callbacks.secret`
    pub secret: Option<Secret>,
    /// `jobs.callbacks.internal`
    pub internal: bool,
    /// `jobs.callbacks.attempts`
    pub attempts: u32,
    /// `jobs.callbacks.timeout`
    pub timeout: Span,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            secret: None,
            internal: false,
            attempts: 10,
            timeout: Span::seconds(10),
        }
    }
}

/// Which hosts are meant: one by its name or address, or all below a domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Address(IpAddr),
    Name(String),
    /// Everything that ends so, the dot included.
    Below(String),
}

impl HostPattern {
    /// Whether it means this host: a name, or an address (one of version 6 without its brackets).
    pub fn matches(&self, host: &str) -> bool {
        match &self.0 {
            Pattern::Address(address) => host.parse() == Ok(*address),
            Pattern::Name(name) => host.eq_ignore_ascii_case(name),
            Pattern::Below(end) => {
                let host = host.to_ascii_lowercase();
                let below = host.strip_suffix(end.as_str());
                below.is_some_and(|below| !below.is_empty())
            }
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(&text).parse() {
            return Ok(Self(Pattern::Address(address)));
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(domain) if is_name(domain) => Ok(Self(Pattern::Below(format!(".{domain}")))),
            None if is_name(&lower) => Ok(Self(Pattern::Name(lower))),
            Some(_) | None => Err(format!(
                "`{}` is no host: write its name alone, as \"example.com\", \"*.example.com\" or \"203.0.113.7\", \
                 and one with other letters than a to z as DNS has it, \"xn--…\"",
                text.escape_debug()
            )),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Address(address) => write!(f, "{address}"),
            Pattern::Name(name) => f.write_str(name),
            Pattern::Below(end) => write!(f, "*{end}"),
        }
    }
}

/// Whether DNS can have this name. One that ends in a number would be taken for an address.
fn is_name(name: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_sign);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|sign: char| sign.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !is_number
}

/// What messages are signed with; never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The key itself.
    pub fn key(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let form =
            "write `whsec_` and 24 to 64 bytes in base64, as `openssl rand -base64 32` makes them";
        let Some(base64) = text.strip_prefix("whsec_") else {
            return Err(format!("a secret begins with `whsec_`: {form}"));
        };
        match base64_simd::STANDARD.decode_to_vec(base64) {
            Ok(key) if (24..=64).contains(&key.len()) => Ok(Self(key)),
            Ok(key) => Err(format!("a secret of {} bytes: {form}", key.len())),
            Err(_) => Err(format!("what follows `whsec_` is no base64: {form}")),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
