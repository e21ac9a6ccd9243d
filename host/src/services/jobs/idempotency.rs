//! What makes a second submission the same job: the submitter's word, and a digest of all that is said besides.

use super::Terms;
use super::payloads::digest_of_all;
use crate::call::Call;
use crate::jobs::Idempotency;
use crate::names::Digest;

/// The word of one picture of a submission, which is at `index` of `count`. No word that came by itself, as a header,
/// has a space: none is that of a picture further on.
pub(super) fn idempotency(
    call: &Call,
    sha256: Digest,
    terms: &Terms,
    (index, count): (usize, usize),
) -> Option<Idempotency> {
    let key = terms.idempotency_key.as_deref()?;
    let key = if index == 0 {
        key.to_owned()
    } else {
        format!("{key} {index}")
    };
    let time = terms.not_before.map(|time| time.to_rfc3339());
    let number = |number: Option<u128>| number.map(|it| it.to_string()).unwrap_or_default();
    let numbers = [
        number(terms.max_attempts.map(u128::from)),
        number(call.deadline.map(|deadline| deadline.as_millis())),
        format!("{index}/{count}"),
    ];
    let texts = [
        call.plugin.as_str(),
        &call.mime_type,
        call.options_json(),
        terms.priority.as_str(),
        time.as_deref().unwrap_or_default(),
        terms.callback_url.as_deref().unwrap_or_default(),
    ];
    let texts = texts.into_iter().chain(numbers.iter().map(String::as_str));
    let said = [&sha256.bytes()[..]]
        .into_iter()
        .chain(texts.map(str::as_bytes));
    let digest = digest_of_all(said);
    Some(Idempotency { key, digest })
}
