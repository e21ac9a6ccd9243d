//! How long the caller lets a call take: a header, whatever the body.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use crate::error::CallError;

const HEADER: HeaderName = HeaderName::from_static("x-deadline-ms");
/// The most of a foreign value that is quoted.
const MAX_QUOTE: usize = 64;

/// What the header says, if it is there. No bound to the top: the plugin's own deadline counts besides.
///
/// # Errors
/// `malformed_request` where it is no whole number from 1 on, or there are two.
pub(in crate::http) fn read(headers: &HeaderMap) -> Result<Option<Duration>, CallError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(CallError::malformed("there are two X-Deadline-Ms headers"));
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    milliseconds(&text).map(Some).ok_or_else(|| {
        let found: String = text.escape_debug().take(MAX_QUOTE).collect();
        let wanted = "send milliseconds, a whole number from 1 on";
        CallError::malformed(format_args!(
            "the header X-Deadline-Ms is `{found}`: {wanted}"
        ))
    })
}

fn milliseconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is too large for the type is longer than any plugin's deadline.
    let count = is_number.then(|| text.parse().unwrap_or(u64::MAX))?;
    (count > 0).then(|| Duration::from_millis(count))
}
