//! Which glibc a library asks for, and which one runs here. Both are read from files, nothing is called.

use object::Endianness;
use object::read::elf::{FileHeader, SectionHeader};

use super::elf::Library;
use super::{not_a_library, text_at};
use crate::loader::rejection::Rejection;

/// A version as its two numbers.
type Version = (u32, u32);

// libc.so.6 itself defines some 50. The lists are chains of offsets, and a crafted one could go round for hours.
const MAX_VERSIONS: usize = 10_000;

/// Refuses a library that asks for a newer glibc than the `running` one.
pub(super) fn not_newer<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
    running: Version,
) -> Result<(), Rejection> {
    let needed = newest(needed(library))?;
    if needed > Some(running) {
        return Err(Rejection::NeedsNewerGlibc {
            needed: needed.map_or_else(String::new, text),
            running: text(running),
        });
    }
    Ok(())
}

/// The version of the glibc in this process: the newest that its file defines.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
pub(super) fn running() -> Option<Version> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .find(|path| path.ends_with("/libc.so.6") || path.contains("/libc-2."))?;
    let bytes = std::fs::read(path).ok()?;
    let libc = Library::<object::elf::FileHeader64<_>>::open(&bytes, Endianness::default()).ok()?;
    newest(defined(&libc)).ok()?
}

/// There is no glibc in this process, or none that we can read.
#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
pub(super) fn running() -> Option<Version> {
    None
}

fn needed<'a, Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'a, Elf>,
) -> impl Iterator<Item = &'a [u8]> {
    let endian = library.endian;
    library
        .sections()
        .find_map(move |section| {
            let (needs, _) = section.gnu_verneed(endian, library.bytes()).ok()??;
            Some((needs, library.strings_of(section)))
        })
        .into_iter()
        .flat_map(move |(needs, strings)| {
            needs
                .map_while(Result::ok)
                .flat_map(|(_, names)| names.map_while(Result::ok))
                .map(move |name| text_at(strings, name.vna_name.get(endian).into()))
        })
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
fn defined<'a, Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'a, Elf>,
) -> impl Iterator<Item = &'a [u8]> {
    let endian = library.endian;
    library
        .sections()
        .find_map(move |section| {
            let (defs, _) = section.gnu_verdef(endian, library.bytes()).ok()??;
            Some((defs, library.strings_of(section)))
        })
        .into_iter()
        .flat_map(move |(defs, strings)| {
            defs.map_while(Result::ok)
                .flat_map(|(_, names)| names.map_while(Result::ok).take(1))
                .map(move |name| text_at(strings, name.vda_name.get(endian).into()))
        })
}

fn newest<'a>(names: impl Iterator<Item = &'a [u8]>) -> Result<Option<Version>, Rejection> {
    let mut newest = None;
    for (count, name) in names.enumerate() {
        if count == MAX_VERSIONS {
            return Err(not_a_library(format!(
                "an ELF file with over {MAX_VERSIONS} versions"
            )));
        }
        newest = newest.max(version(name));
    }
    Ok(newest)
}

/// The version in a name like `GLIBC_2.34`; names like `GLIBC_PRIVATE` have none.
fn version(name: &[u8]) -> Option<Version> {
    let numbers = std::str::from_utf8(name.strip_prefix(b"GLIBC_")?).ok()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn text((major, minor): Version) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        let check = |name: &str, expected| assert_eq!(version(name.as_bytes()), expected, "{name}");
        check("GLIBC_2.34", Some((2, 34)));
        check("GLIBC_2.2.5", Some((2, 2)));
        check("GLIBC_PRIVATE", None);
        check("GLIBC_2", None);
        check("GCC_3.0", None);
        check("GLIBC_99999999999.1", None);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    #[test]
    fn the_running_glibc_is_found() {
        assert!(running().unwrap() >= (2, 17));
    }
}
