//! Refuses what a page of another origin made a browser send. No token helps against that: the
//! browser would send it along.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Failure;
use crate::error::CallError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The most of a foreign header that is quoted.
const MAX_QUOTE: usize = 100;

/// Lets through what no browser sent, or a page of our own.
pub(super) async fn refuse_foreign(request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => Failure::from(refused).into_response(),
    }
}

fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), CallError> {
    // A name that an attacker owns can be made to resolve to this host: then its pages are of the
    // same origin as we, and only the name gives them away.
    let authority = uri.authority().map(|authority| authority.as_str());
    if let Some(found) = authority.filter(|authority| !is_own(authority)) {
        return Err(forbidden("Host", found.as_bytes()));
    }
    let hosts = headers.get_all(header::HOST);
    if let Some(found) = hosts.iter().find(|host| !text(host).is_some_and(is_own)) {
        return Err(forbidden("Host", found.as_bytes()));
    }
    let host = authority.or_else(|| headers.get(header::HOST).and_then(text));
    for origin in headers.get_all(header::ORIGIN) {
        let same = text(origin).zip(host).is_some_and(|(o, h)| is_same(o, h));
        if !same {
            return Err(forbidden("Origin", origin.as_bytes()));
        }
    }
    // Browsers send no Origin with what they hold for harmless, such as the source of an image.
    match headers.get(SEC_FETCH_SITE) {
        Some(site) if site == "cross-site" => Err(forbidden("Sec-Fetch-Site", site.as_bytes())),
        _ => Ok(()),
    }
}

/// Whether an authority is one that no resolver can be made to lie about.
fn is_own(authority: &str) -> bool {
    let host = without_port(authority);
    let v6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    v6.map_or_else(
        || {
            host.parse::<IpAddr>()
                .is_ok_and(|address| address.is_ipv4())
        },
        |address| address.parse::<Ipv6Addr>().is_ok(),
    ) || host.eq_ignore_ascii_case("localhost")
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

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn forbidden(header: &'static str, found: &[u8]) -> CallError {
    let found = String::from_utf8_lossy(found);
    let found = found.escape_default().take(MAX_QUOTE).collect();
    CallError::Forbidden { header, found }
}
