//! On what terms a job is to be run: the submitter's texts and headers, read strictly.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};
use chrono::{DateTime, Datelike, SubsecRound, Utc};

use super::super::analyze::Wishes;
use crate::access::Caller;
use crate::error::CallError;
use crate::jobs::Time;
use crate::services::Terms;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, in bytes.
pub(in crate::http) const MAX_KEY: usize = 255;
/// The longest address, in bytes.
pub(in crate::http) const MAX_URL: usize = 2048;
/// The most attempts that a submitter may ask for.
pub(in crate::http) const MAX_ATTEMPTS: u32 = 100;
/// The most of a foreign text that is quoted.
const MAX_QUOTE: usize = 64;

/// The terms that the `wishes` of `caller` come down to, under its own key.
///
/// # Errors
/// `malformed_request` for a text that is not what it should be.
pub(super) fn read(
    wishes: Wishes,
    idempotency_key: Option<String>,
    caller: &Caller,
) -> Result<Terms, CallError> {
    let Wishes {
        priority,
        not_before,
        max_attempts,
        callback_url,
    } = wishes;
    let priority = priority.map(|word| word.parse().map_err(CallError::malformed));
    let max_attempts = max_attempts.as_deref().map(attempts);
    let not_before = not_before.as_deref().map(time);
    Ok(Terms {
        owner: caller.owner.clone(),
        priority: priority.transpose()?.unwrap_or_default(),
        // One in the past counts as none, but that is not for here to say: a submission that is sent again is the same.
        not_before: not_before.transpose()?,
        max_attempts: max_attempts.transpose()?,
        idempotency_key,
        callback_url: callback_url.map(url).transpose()?,
    })
}

/// The submitter's own word for the submission, from its header.
///
/// # Errors
/// `malformed_request` where it is empty, too long, or not of visible ASCII, or there are two.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, CallError> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        let problem = "there are two Idempotency-Key headers";
        return Err(CallError::malformed(problem));
    }
    let key = key.as_bytes();
    let is_fit = (1..=MAX_KEY).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    let text = String::from_utf8_lossy(key);
    if is_fit {
        return Ok(Some(text.into_owned()));
    }
    let wanted = format!("send 1 to {MAX_KEY} visible ASCII characters");
    Err(refused("the header Idempotency-Key", &text, wanted))
}

/// In whole milliseconds, as it is kept.
fn time(text: &str) -> Result<Time, CallError> {
    let time = DateTime::parse_from_rfc3339(text).ok();
    let time = time.map(|time| time.with_timezone(&Utc).trunc_subsecs(3));
    // Later years have no form in RFC 3339 that all read.
    let time = time.filter(|time| (1970..=9999).contains(&time.year()));
    time.ok_or_else(|| {
        let wanted =
            "send a time of RFC 3339, such as 2030-12-31T08:00:00Z (in a query, write + as %2B)";
        refused("not_before", text, wanted)
    })
}

fn attempts(text: &str) -> Result<u32, CallError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = is_number.then(|| text.parse().ok()).flatten();
    let count = count.filter(|count| (1..=MAX_ATTEMPTS).contains(count));
    count.ok_or_else(|| {
        let wanted = format!("send a whole number from 1 to {MAX_ATTEMPTS}");
        refused("max_attempts", text, wanted)
    })
}

/// Whether it may be told is for the operator to say.
fn url(text: String) -> Result<String, CallError> {
    if text.len() <= MAX_URL {
        return Ok(text);
    }
    let wanted = format!("send at most {MAX_URL} bytes");
    Err(refused("callback_url", &text, wanted))
}

/// Says what a text is, and what it should be.
pub(super) fn refused(what: &str, found: &str, wanted: impl fmt::Display) -> CallError {
    let found: String = found.escape_debug().take(MAX_QUOTE).collect();
    CallError::malformed(format_args!("{what} is `{found}`: {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Priority;

    fn wishes(name: &str, text: &str) -> Wishes {
        let text = Some(text.to_owned());
        let mut wishes = Wishes::default();
        match name {
            "priority" => wishes.priority = text,
            "not_before" => wishes.not_before = text,
            "max_attempts" => wishes.max_attempts = text,
            "callback_url" => wishes.callback_url = text,
            other => panic!("{other}"),
        }
        wishes
    }

    fn refuses(name: &str, text: &str, expected: &str) {
        let error = read(wishes(name, text), None, &Caller::local()).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, CallError::Malformed { .. }), "{error:?}");
    }

    fn key(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = axum::http::HeaderValue::from_bytes(value).unwrap();
            headers.append(IDEMPOTENCY_KEY, value);
        }
        idempotency_key(&headers).map_err(|error| error.to_string())
    }

    #[test]
    fn without_wishes_a_job_is_as_most() {
        let terms = read(Wishes::default(), None, &Caller::local()).unwrap();
        assert_eq!(terms.priority, Priority::Normal);
        assert_eq!(terms.not_before, None);
        assert_eq!(terms.max_attempts, None);
        assert_eq!((terms.idempotency_key, terms.callback_url), (None, None));
    }

    #[test]
    fn a_priority_is_one_of_three_words() {
        for priority in Priority::ALL {
            let terms = read(
                wishes("priority", priority.as_str()),
                None,
                &Caller::local(),
            )
            .unwrap();
            assert_eq!(terms.priority, priority);
        }
        let there = "is no priority: there are high, normal and low";
        refuses("priority", "urgent", &format!("`urgent` {there}"));
        refuses("priority", "High", &format!("`High` {there}"));
    }

    #[test]
    fn a_time_is_of_rfc_3339_and_in_milliseconds() {
        let not_before = |text: &str| {
            read(wishes("not_before", text), None, &Caller::local())
                .unwrap()
                .not_before
        };
        let told = |text: &str| not_before(text).unwrap().to_rfc3339();
        assert_eq!(told("1999-12-31t23:59:59z"), "1999-12-31T23:59:59+00:00");
        assert_eq!(told("2999-12-31T23:00:00Z"), "2999-12-31T23:00:00+00:00");
        assert_eq!(
            told("2999-12-31T23:00:00.123999+02:00"),
            "2999-12-31T21:00:00.123+00:00"
        );
        let wanted =
            "send a time of RFC 3339, such as 2030-12-31T08:00:00Z (in a query, write + as %2B)";
        for text in [
            "",
            "soon",
            "2999-12-31",
            "2999-12-31T23:00:00",
            "32503676400",
            "2999-12-31T23:00:00 02:00",
            "+29999-12-31T23:00:00Z",
        ] {
            refuses(
                "not_before",
                text,
                &format!("not_before is `{text}`: {wanted}"),
            );
        }
    }

    #[test]
    fn attempts_are_counted_from_one_to_a_hundred() {
        for (text, count) in [("1", 1), ("100", 100), ("007", 7)] {
            let terms = read(wishes("max_attempts", text), None, &Caller::local()).unwrap();
            assert_eq!(terms.max_attempts, Some(count));
        }
        for text in [
            "",
            "0",
            "101",
            "-1",
            "+1",
            "1.0",
            "1e1",
            "\"3\"",
            "99999999999999999999",
        ] {
            let found = text.escape_debug();
            let expected = format!("max_attempts is `{found}`: send a whole number from 1 to 100");
            refuses("max_attempts", text, &expected);
        }
    }

    #[test]
    fn an_address_has_its_bounds() {
        let longest = "x".repeat(MAX_URL);
        let terms = read(wishes("callback_url", &longest), None, &Caller::local()).unwrap();
        assert_eq!(terms.callback_url, Some(longest.clone()));
        let found = "x".repeat(MAX_QUOTE);
        let expected = format!("callback_url is `{found}`: send at most 2048 bytes");
        refuses("callback_url", &format!("{longest}x"), &expected);
    }

    #[test]
    fn a_key_is_visible_and_there_once() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"a-1~!"]), Ok(Some("a-1~!".to_owned())));
        let longest = "k".repeat(MAX_KEY);
        assert_eq!(key(&[longest.as_bytes()]), Ok(Some(longest.clone())));
        let two = Err("there are two Idempotency-Key headers".to_owned());
        assert_eq!(key(&[b"a", b"a"]), two);
        let wanted = "send 1 to 255 visible ASCII characters";
        let too_long = format!("{longest}k");
        for bad in [
            &b""[..],
            b"a b",
            b"a\tb",
            "\u{e9}".as_bytes(),
            too_long.as_bytes(),
        ] {
            let text = String::from_utf8_lossy(bad);
            let found: String = text.escape_debug().take(MAX_QUOTE).collect();
            let expected = format!("the header Idempotency-Key is `{found}`: {wanted}");
            assert_eq!(key(&[bad]), Err(expected));
        }
    }
}
