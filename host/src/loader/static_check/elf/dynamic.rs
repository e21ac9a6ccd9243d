//! What an ELF library tells the system's loader: read where the loader reads it, in memory's addresses.

use object::Endianness;
use object::elf;
use object::pod;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use super::super::{not_a_library, text_at};
use super::library::Library;
use crate::loader::rejection::{Rejection, excerpt};

/// Refuses a library that names folders to search: its private copy has no neighbours.
pub(super) fn no_search_path<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
) -> Result<(), Rejection> {
    let endian = library.endian;
    let path = entries(library).find_map(|entry| match entry.tag(endian) {
        elf::DT_RPATH => Some(("RPATH", entry.val(endian))),
        elf::DT_RUNPATH => Some(("RUNPATH", entry.val(endian))),
        _ => None,
    });
    match path {
        None => Ok(()),
        Some((tag, offset)) => Err(Rejection::Rpath {
            tag,
            path: excerpt(text_at(strings(library), offset)),
        }),
    }
}

/// Whether it was linked to be run, not loaded.
pub(super) fn is_executable<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
) -> bool {
    value(library, elf::DT_FLAGS_1).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0)
}

/// The loader can do nothing with a library that tells it nothing.
pub(super) fn exists<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
) -> Result<(), Rejection> {
    match entries(library).next() {
        Some(_) => Ok(()),
        None => Err(not_a_library("an ELF file without a dynamic section")),
    }
}

fn strings<'a, Elf: FileHeader<Endian = Endianness>>(library: &Library<'a, Elf>) -> &'a [u8] {
    value(library, elf::DT_STRTAB)
        .and_then(|address| library.at(address))
        .unwrap_or_default()
}

fn value<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
    tag: elf::DynamicTag,
) -> Option<u64> {
    let endian = library.endian;
    let entry = entries(library).find(|entry| entry.tag(endian) == tag)?;
    Some(entry.val(endian))
}

// The loader goes by the last such segment's address up to an entry of zero, so the size in the file says nothing.
fn entries<'a, Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'a, Elf>,
) -> impl Iterator<Item = &'a Elf::Dyn> {
    let endian = library.endian;
    let bytes = library
        .segments(elf::PT_DYNAMIC)
        .last()
        .and_then(|segment| library.at(segment.p_vaddr(endian).into()))
        .unwrap_or_default();
    let count = bytes.len() / size_of::<Elf::Dyn>();
    let entries =
        pod::slice_from_bytes::<Elf::Dyn>(bytes, count).map_or(&[][..], |(entries, _)| entries);
    entries
        .iter()
        .take_while(move |entry| entry.tag(endian) != elf::DT_NULL)
}
