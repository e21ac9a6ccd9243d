//! Judges the bytes of a library without running, mapping or loading them. Any bytes are welcome: the answer is a
//! manifest or a reason, never a panic, in time linear in their number. Touches no file of the operator's.

mod abi_header;
mod elf;
mod glibc;
mod macho;
mod pe;
mod platform;

#[cfg(target_os = "linux")]
#[cfg(test)]
mod elf_tests;
#[cfg(unix)]
#[cfg(test)]
mod foreign_tests;

use std::fmt;

use object::elf::ELFMAG;

use super::manifest::Manifest;
use super::rejection::{Rejection, excerpt};

pub use platform::{Format, Platform};

/// The most memory that a library may ask to be mapped.
const MAX_MAPPING: u64 = 1 << 30;

/// Judges a library for the system that this host runs on.
///
/// # Errors
/// The [`Rejection`] of the first thing that is wrong.
pub fn static_check(bytes: &[u8]) -> Result<Manifest, Rejection> {
    static_check_for(bytes, Platform::host())
}

/// Judges a library for any system.
///
/// # Errors
/// The [`Rejection`] of the first thing that is wrong.
pub fn static_check_for(bytes: &[u8], platform: &Platform) -> Result<Manifest, Rejection> {
    let format = identify(bytes)?;
    if format != platform.format {
        return Err(platform.mismatch(format.to_string()));
    }
    match format {
        Format::Elf => elf::check(bytes, platform),
        Format::MachO => macho::check(bytes, platform),
        Format::Pe => pe::check(bytes, platform),
    }
}

/// What kind of file the first bytes promise.
fn identify(bytes: &[u8]) -> Result<Format, Rejection> {
    if ELFMAG.starts_with(bytes) {
        contains(bytes, "file header", 0, 64)?; // cut within the magic: most likely a copy under way
    }
    let big_endian = bytes.first_chunk().map(|magic| u32::from_be_bytes(*magic));
    match (bytes, big_endian) {
        (_, Some(0x7f45_4c46)) => Ok(Format::Elf),
        (_, Some(0xfeed_face | 0xfeed_facf | 0xcefa_edfe | 0xcffa_edfe)) => Ok(Format::MachO),
        // Java classes share the first of these; no universal file holds as many parts as they have versions.
        (_, Some(0xcafe_babe | 0xcafe_babf))
            if bytes.get(4..7) == Some(&[0; 3]) && bytes.get(7) < Some(&40) =>
        {
            Ok(Format::MachO)
        }
        ([b'M', b'Z', ..], _) => Ok(Format::Pe),
        _ => Err(not_a_library(kind_of_text(bytes))),
    }
}

fn kind_of_text(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(32)];
    let printable = start
        .iter()
        .all(|&byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let kind = if printable { "text" } else { "data" };
    format!("{kind} that starts with `{}`", excerpt(start))
}

/// The bytes from `offset`, `size` of them, if the file is long enough.
fn contains(
    bytes: &[u8],
    part: impl fmt::Display,
    offset: u64,
    size: u64,
) -> Result<&[u8], Rejection> {
    let len = bytes.len() as u64;
    let end = offset.saturating_add(size);
    slice(bytes, offset, size).ok_or_else(|| Rejection::Truncated {
        part: part.to_string(),
        end,
        len,
    })
}

/// The bytes of one `T` at `offset`.
fn contains_one<'a, T>(bytes: &'a [u8], part: &str, offset: u64) -> Result<&'a [u8], Rejection> {
    contains(bytes, part, offset, size_of::<T>() as u64)
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(size)?).ok()?;
    bytes.get(start..end)
}

/// Whether a NUL-terminated `name` stands at `offset`: looks at no more bytes than the name has.
fn names(strings: &[u8], offset: u32, name: &str) -> bool {
    let at = strings
        .get(offset as usize..)
        .and_then(|rest| rest.strip_prefix(name.as_bytes()));
    at.is_some_and(|rest| rest.first() == Some(&0))
}

fn text_at(strings: &[u8], offset: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = strings.get(start..).unwrap_or_default();
    let short = &rest[..rest.len().min(256)];
    short.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn mapping(size: u64) -> Result<(), Rejection> {
    if size > MAX_MAPPING {
        return Err(Rejection::TooLargeMapping {
            size,
            limit: MAX_MAPPING,
        });
    }
    Ok(())
}

fn not_a_library(found: impl Into<String>) -> Rejection {
    Rejection::NotALibrary {
        found: found.into(),
    }
}
