//! What a PE library must be: a 64-bit DLL. Knows no other format.

use object::pe::{self, ImageDosHeader, ImageFileHeader, ImageNtHeaders64};
use object::read::coff::SectionTable;
use object::read::pe::{DataDirectories, ImageNtHeaders, ImageOptionalHeader};
use object::{Architecture, Endianness, LittleEndian as LE};

use super::platform::{Platform, machine};
use super::{abi_header, contains, contains_one, mapping, names, not_a_library};
use crate::loader::manifest::{Manifest, ManifestError};
use crate::loader::rejection::Rejection;

const MANIFEST: &[u8; 8] = b".bhmeta\0";

/// Judges a PE file.
pub(super) fn check(bytes: &[u8], platform: &Platform) -> Result<Manifest, Rejection> {
    let (start, header) = file_header(bytes)?;
    built_for_platform(header, platform)?;
    let library = Library::open(bytes, start)?;
    mapping(library.headers.optional_header().size_of_image().into())?;
    let manifest = library.manifest()?;
    library.root_module()?;
    Ok(manifest)
}

/// Where the PE headers start, and the part of them that 32-bit files have too.
fn file_header(bytes: &[u8]) -> Result<(u64, &ImageFileHeader), Rejection> {
    contains_one::<ImageDosHeader>(bytes, "file header", 0)?;
    let dos = ImageDosHeader::parse(bytes).map_err(damaged)?;
    let start = dos.nt_headers_offset().into();
    let head = contains_one::<ImageNtHeaders64>(bytes, "PE header", start)?
        .strip_prefix(b"PE\0\0")
        .ok_or_else(|| not_a_library("a program for DOS"))?;
    let (header, _) = object::pod::from_bytes::<ImageFileHeader>(head)
        .map_err(|()| not_a_library("a PE file with a damaged header"))?;
    let size = header.size_of_optional_header.get(LE).into();
    contains(bytes, "optional header", start + 24, size)?;
    Ok((start, header))
}

fn built_for_platform(header: &ImageFileHeader, platform: &Platform) -> Result<(), Rejection> {
    let found = match header.machine.get(LE) {
        pe::IMAGE_FILE_MACHINE_AMD64 => Architecture::X86_64,
        pe::IMAGE_FILE_MACHINE_ARM64 => Architecture::Aarch64,
        pe::IMAGE_FILE_MACHINE_I386 => Architecture::I386,
        _ => Architecture::Unknown,
    };
    if found != platform.architecture {
        return Err(platform.mismatch(format!("a PE file for {}", machine(found))));
    }
    if !header.characteristics.get(LE).contains(pe::IMAGE_FILE_DLL) {
        return Err(platform.mismatch("a PE file, an executable"));
    }
    Ok(())
}

/// A file whose headers were read and whose sections lie inside it.
struct Library<'a> {
    bytes: &'a [u8],
    headers: &'a ImageNtHeaders64,
    directories: DataDirectories<'a>,
    sections: SectionTable<'a>,
}

impl<'a> Library<'a> {
    fn open(bytes: &'a [u8], start: u64) -> Result<Self, Rejection> {
        let mut offset = start;
        let (headers, directories) =
            ImageNtHeaders64::parse(bytes, &mut offset).map_err(damaged)?;
        let count = headers.file_header().number_of_sections.get(LE);
        let table = u64::from(count) * size_of::<pe::ImageSectionHeader>() as u64;
        contains(bytes, "table of sections", offset, table)?;
        let sections = headers.sections(bytes, offset).map_err(damaged)?;
        for (index, section) in sections.enumerate() {
            let at = section.pointer_to_raw_data.get(LE).into();
            let size = section.size_of_raw_data.get(LE).into();
            contains(bytes, format_args!("section {index}"), at, size)?;
        }
        Ok(Self {
            bytes,
            headers,
            directories,
            sections,
        })
    }

    fn manifest(&self) -> Result<Manifest, Rejection> {
        let mut found = self
            .sections
            .iter()
            .filter(|section| section.name == *MANIFEST);
        let section = found.next().ok_or(Rejection::NoManifest)?;
        if found.next().is_some() {
            return Err(ManifestError::TwoNotes.into());
        }
        let contents = section.pe_data(self.bytes).map_err(damaged)?;
        Ok(Manifest::parse(contents, Endianness::Little)?)
    }

    fn root_module(&self) -> Result<(), Rejection> {
        let address = self.exported().ok_or_else(abi_header::missing)?;
        let header = self.sections.pe_data_at(self.bytes, address);
        abi_header::check(header, Endianness::Little)
    }

    fn exported(&self) -> Option<u32> {
        let directory = self.directories.get(pe::IMAGE_DIRECTORY_ENTRY_EXPORT)?;
        let data = directory.data(self.bytes, &self.sections).ok()?;
        let start = directory.virtual_address.get(LE);
        let exports = self
            .directories
            .export_table(self.bytes, &self.sections)
            .ok()??;
        let (_, index) = exports.name_iter().find(|(name, _)| {
            name.checked_sub(start)
                .is_some_and(|at| names(data, at, abi_header::SYMBOL))
        })?;
        exports.address_by_index(index).ok()
    }
}

fn damaged(error: object::read::Error) -> Rejection {
    not_a_library(format!(
        "a damaged PE file ({})",
        error.to_string().to_lowercase()
    ))
}
