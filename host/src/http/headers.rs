//! The headers that keep a browser from doing with an answer what nobody meant. What a route says itself stands.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::HttpLimits;

/// On every answer.
const ALWAYS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not even a page of another port gets to load it as a script or a picture: browsers name no origin with those.
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // Results and records are nobody's but the caller's.
    (header::CACHE_CONTROL, "no-store"),
];

/// On pages: they load what is ours, and nobody puts them into another. Pictures that were dropped on them are `blob:`.
const PAGES: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'self'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Where TLS is spoken: never without it again, for a year.
const ENCRYPTED: [(HeaderName, &str); 1] =
    [(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000")];

/// Adds them to the headers of an answer.
pub(super) fn secure(limits: HttpLimits, headers: &mut HeaderMap) {
    add(headers, &ALWAYS);
    if is_page(headers) {
        add(headers, &PAGES);
    }
    if limits.tls {
        add(headers, &ENCRYPTED);
    }
}

fn add(headers: &mut HeaderMap, more: &[(HeaderName, &'static str)]) {
    for (name, value) in more {
        let entry = headers.entry(name);
        entry.or_insert(HeaderValue::from_static(value));
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/html"))
}
