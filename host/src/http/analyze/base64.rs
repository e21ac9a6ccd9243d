//! Base64, and where it is none. Strict: two texts never stand for the same bytes.

use base64_simd::{AsOut, STANDARD};

/// How many bytes `text` stands for, if it stands for any.
///
/// # Errors
/// What is wrong, and at which position.
pub(super) fn decoded_length(text: &str) -> Result<usize, String> {
    let length = STANDARD.decoded_length(text.as_bytes());
    length.map_err(|_| explain(text))
}

/// Puts the bytes that `text` stands for to the front of `space`, which has room for them.
///
/// # Errors
/// What is wrong, and at which position.
pub(super) fn decode(text: &str, space: &mut [u8]) -> Result<(), String> {
    let decoded = STANDARD.decode(text.as_bytes(), space.as_out());
    decoded.map(drop).map_err(|_| explain(text))
}

/// Appends `bytes` to a text.
pub(super) fn encode(bytes: &[u8], text: &mut Vec<u8>) {
    STANDARD.encode_append(bytes, text);
}

/// The decoder only says no, so that the usual case is fast.
fn explain(text: &str) -> String {
    if text.starts_with("data:") {
        return "it is a data URL: send only what stands after the comma".to_owned();
    }
    let digits = text.trim_end_matches('=');
    let stray = digits.char_indices().find(|(_, found)| !is_digit(*found));
    match stray {
        Some((at, found)) => format!(
            "`{}` at position {at} {}",
            found.escape_debug(),
            fault(found)
        ),
        None => explain_end(digits.len(), text.len()),
    }
}

fn is_digit(found: char) -> bool {
    found.is_ascii_alphanumeric() || matches!(found, '+' | '/')
}

fn fault(found: char) -> &'static str {
    match found {
        '=' => "is padding before the end",
        '-' | '_' => "is of the URL-safe alphabet: use + and /",
        _ if found.is_whitespace() => "is whitespace, which is not allowed",
        _ => "is not in the alphabet",
    }
}

fn explain_end(digits: usize, length: usize) -> String {
    let padding = match digits % 4 {
        0 => Some(0),
        2 => Some(2),
        3 => Some(1),
        _ => None,
    };
    match padding {
        None => format!("its {digits} digits stand for no whole number of bytes: it is cut off"),
        Some(wanted) if digits + wanted != length => {
            let found = length - digits;
            format!("it ends at position {length} with {found} of `=` where {wanted} belong")
        }
        Some(_) => format!(
            "the digit at position {} has bits that stand for nothing",
            digits - 1
        ),
    }
}
