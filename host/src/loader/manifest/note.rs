//! The note that holds a manifest: its frame and its fields, not what the fields mean.

use object::{Endian, Endianness};

use super::ManifestError;
use crate::loader::rejection::excerpt;
use crate::names::PluginName;

const MAX_SECTION: usize = 64 << 10;
// A name that stands further in is not found: the guess is not worth a walk through a quarter of a gigabyte.
const MAX_SEARCHED: usize = 1 << 20;
const NAME: &[u8; 12] = b"Bulkhead\0\0\0\0";
const NAME_SIZE: u32 = 9;
const TYPE: u32 = 1;

/// The text of the one note in `section`.
pub(super) fn text(section: &[u8], endian: Endianness) -> Result<&[u8], ManifestError> {
    if section.len() > MAX_SECTION {
        return Err(ManifestError::TooLarge {
            size: section.len(),
            limit: MAX_SECTION,
        });
    }
    let (size, rest) = head(section, endian).ok_or_else(|| ManifestError::NotANote {
        found: excerpt(section),
    })?;
    let (text, after) = rest.split_at_checked(size).ok_or(ManifestError::CutShort {
        found: rest.len(),
        expected: size,
    })?;
    // Linkers pad a section with zeros; anything else is another note.
    if after.iter().any(|&byte| byte != 0) {
        return Err(ManifestError::TwoNotes);
    }
    Ok(text)
}

/// Keys and values in their order.
pub(super) fn fields(text: &[u8]) -> Result<Vec<(&str, &str)>, ManifestError> {
    let body = match text.split_last() {
        None => return Ok(Vec::new()),
        Some((0, body)) => body,
        Some(_) => {
            let last = text.rsplit(|&byte| byte == 0).next().unwrap_or_default();
            return Err(ManifestError::NoFinalNul {
                found: excerpt(last),
            });
        }
    };
    body.split(|&byte| byte == 0).map(field).collect()
}

/// The name in a file that was refused, wherever its note stands: a guess for people, never proof.
pub(in crate::loader) fn find_name(bytes: &[u8]) -> Option<PluginName> {
    let bytes = &bytes[..bytes.len().min(MAX_SEARCHED)];
    let start = bytes.windows(NAME.len()).position(|at| at == NAME)? + NAME.len();
    let text = &bytes[start..bytes.len().min(start + MAX_SECTION)];
    let whole = &text[..text.iter().rposition(|&byte| byte == 0)?];
    let name = whole
        .split(|&byte| byte == 0)
        .find_map(|field| field.strip_prefix(b"name="))?;
    PluginName::parse(std::str::from_utf8(name).ok()?).ok()
}

/// The size of the text, and what follows the note's head.
fn head(section: &[u8], endian: Endianness) -> Option<(usize, &[u8])> {
    let (sizes, rest) = section.split_first_chunk::<12>()?;
    let word = |at: usize| Some(endian.read_u32(sizes[at..at + 4].try_into().ok()?));
    let rest = rest.strip_prefix(NAME)?;
    (word(0)? == NAME_SIZE && word(8)? == TYPE).then_some((usize::try_from(word(4)?).ok()?, rest))
}

fn field(bytes: &[u8]) -> Result<(&str, &str), ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::NotUtf8 {
        field: excerpt(bytes.split(|&byte| byte == b'=').next().unwrap_or_default()),
        found: excerpt(bytes),
    })?;
    text.split_once('=').ok_or_else(|| ManifestError::NoKey {
        found: excerpt(bytes),
    })
}
