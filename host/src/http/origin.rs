//! Refuses what a page of another origin made a browser send. No token helps against that: the
//! browser would send it along.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, Uri, header};

use crate::error::CallError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CROSS_SITE: &str = "cross-site";

/// The most of a foreign header that is quoted.
const MAX_QUOTE: usize = 100;

/// The names that requests may call this host by, besides addresses and `localhost`.
#[derive(Clone)]
pub struct OwnNames(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl OwnNames {
    /// Those of which `is_own` says so.
    pub fn of(is_own: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_own))
    }
}

impl Default for OwnNames {
    fn default() -> Self {
        Self::of(|_| false)
    }
}

/// Lets through what no browser sent, or a page of our own.
///
/// # Errors
/// `forbidden`, with the header that says so.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, names: &OwnNames) -> Result<(), CallError> {
    let hosts = headers.get_all(header::HOST).iter();
    let hosts = hosts.map(|host| host.to_str().unwrap_or("?"));
    let authority = uri.authority().map(|authority| authority.as_str());
    let mut hosts = authority.into_iter().chain(hosts).peekable();
    let host = hosts.peek().copied();
    check_hosts(hosts, names)?;
    check_origin(host, headers)
}

/// A name that an attacker owns can be made to resolve to this host: then its pages are of the same
/// origin as we, and only the name gives them away.
fn check_hosts<'a>(
    mut hosts: impl Iterator<Item = &'a str>,
    names: &OwnNames,
) -> Result<(), CallError> {
    let foreign = hosts.find(|host| !is_own(host) && !(names.0)(without_port(host)));
    foreign.map_or(Ok(()), |host| Err(forbidden("Host", host)))
}

fn check_origin(host: Option<&str>, headers: &HeaderMap) -> Result<(), CallError> {
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        if !host.is_some_and(|host| is_same(origin, host)) {
            return Err(forbidden("Origin", origin));
        }
    }
    // Browsers send no Origin with what they hold for harmless, such as the source of an image.
    match headers.get(SEC_FETCH_SITE) {
        Some(site) if site == CROSS_SITE => Err(forbidden("Sec-Fetch-Site", CROSS_SITE)),
        _ => Ok(()),
    }
}

/// Whether an authority is one that no resolver can be made to lie about.
fn is_own(authority: &str) -> bool {
    let host = without_port(authority);
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_address = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    };
    is_address || host.eq_ignore_ascii_case("localhost")
}

/// Whether `origin` is `http://HOST` or `https://HOST`, where the scheme's own port may be left out.
fn is_same(origin: &str, host: &str) -> bool {
    let parts = [("http://", ":80"), ("https://", ":443")];
    parts.iter().any(|(scheme, port)| {
        let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
        origin
            .strip_prefix(scheme)
            .is_some_and(|authority| bare(authority) == bare(host))
    })
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn forbidden(header: &'static str, found: &str) -> CallError {
    let found = found.escape_default().take(MAX_QUOTE).collect();
    CallError::Forbidden { header, found }
}
