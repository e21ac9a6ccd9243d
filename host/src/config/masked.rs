//! Text of a file as it may be shown: what is secret in it is stars, byte for byte. Knows no value.

use std::ops::Range;

use super::places::Places;

/// What begins something secret, wherever it stands: in a file that is no TOML no key is known.
const BEGINNINGS: [&str; 3] = ["whsec_", "postgres://", "postgresql://"];

/// Keys whose values may be secret, or hold something that is, in whichever table they were put.
const KEYS: [&str; 2] = ["secret", "store"];

/// The same number of bytes, without what is secret.
pub(super) fn masked(text: &str, places: &Places) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in places.values_of(&KEYS).chain(beginnings(text)) {
        let hidden = bytes.get_mut(range).unwrap_or_default();
        // Lines stay lines.
        let signs = hidden.iter_mut().filter(|sign| **sign != b'\n');
        signs.for_each(|sign| *sign = b'*');
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// From behind each beginning to the next quote or space.
fn beginnings(text: &str) -> impl Iterator<Item = Range<usize>> {
    let of = move |beginning: &'static str| {
        text.match_indices(beginning).map(move |(at, _)| {
            let start = at + beginning.len();
            let rest = text.get(start..).unwrap_or_default();
            let is_end = |sign: char| sign == '"' || sign == '\'' || sign.is_whitespace();
            start..start + rest.find(is_end).unwrap_or(rest.len())
        })
    };
    BEGINNINGS.into_iter().flat_map(of)
}
