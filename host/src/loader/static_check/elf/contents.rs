//! What makes an ELF library a plugin: its manifest and the root module that it exports.

use object::elf;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, pod};

use super::super::{abi_header, names};
use super::library::Library;
use crate::loader::manifest::{Manifest, ManifestError};
use crate::loader::rejection::Rejection;

const MANIFEST: &str = ".note.bulkhead";

/// Reads the manifest from its section.
pub(super) fn manifest<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
) -> Result<Manifest, Rejection> {
    let section_names = library.section_names();
    let mut found = library
        .sections()
        .filter(|section| names(section_names, section.sh_name(library.endian), MANIFEST));
    let section = found.next().ok_or(Rejection::NoManifest)?;
    if found.next().is_some() {
        return Err(ManifestError::TwoNotes.into());
    }
    Ok(Manifest::parse(library.contents(section), library.endian)?)
}

/// Checks that a root module is exported and which abi_stable made it.
pub(super) fn root_module<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
) -> Result<(), Rejection> {
    let address = library
        .sections()
        .find(|section| section.sh_type(library.endian) == elf::SHT_DYNSYM)
        .and_then(|table| exported(library, table))
        .ok_or_else(abi_header::missing)?;
    abi_header::check(library.at(address), library.endian)
}

fn exported<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
    table: &Elf::SectionHeader,
) -> Option<u64> {
    let endian = library.endian;
    let strings = library.strings_of(table);
    let bytes = library.contents(table);
    let (symbols, _) =
        pod::slice_from_bytes::<Elf::Sym>(bytes, bytes.len() / size_of::<Elf::Sym>()).ok()?;
    symbols
        .iter()
        .filter(|symbol| symbol.st_shndx(endian) != elf::SHN_UNDEF)
        .find(|symbol| names(strings, symbol.st_name(endian), abi_header::SYMBOL))
        .map(|symbol| symbol.st_value(endian).into())
}
