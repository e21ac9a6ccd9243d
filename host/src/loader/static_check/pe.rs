//! What a PE library must be: a 64-bit DLL. Knows no other format.

use object::pe::{self, ImageNtHeaders64};
use object::read::coff::SectionTable;
use object::read::pe::{DataDirectories, ImageNtHeaders, ImageOptionalHeader};
use object::{Architecture, Endianness, LittleEndian as LE};

use super::platform::{Platform, machine};
use super::{abi_header, contains, mapping, names, not_a_library};
use crate::loader::manifest::{Manifest, ManifestError};
use crate::loader::rejection::Rejection;

const MANIFEST: &[u8; 8] = b".bhmeta\0";

/// Judges a PE file.
pub(super) fn check(bytes: &[u8], platform: &Platform) -> Result<Manifest, Rejection> {
    let start = headers_at(bytes)?;
    built_for_platform(bytes, start, platform)?;
    let library = Library::open(bytes, start)?;
    mapping(library.headers.optional_header().size_of_image().into())?;
    let manifest = library.manifest()?;
    library.root_module()?;
    Ok(manifest)
}

fn headers_at(bytes: &[u8]) -> Result<u64, Rejection> {
    contains(
        bytes,
        "file header",
        0,
        size_of::<pe::ImageDosHeader>() as u64,
    )?;
    let start = pe::ImageDosHeader::parse(bytes)
        .map_err(damaged)?
        .nt_headers_offset()
        .into();
    let head = contains(
        bytes,
        "PE header",
        start,
        size_of::<ImageNtHeaders64>() as u64,
    )?;
    if !head.starts_with(b"PE\0\0") {
        return Err(not_a_library("a program for DOS"));
    }
    Ok(start)
}

// The fields up to the optional header stand alike in 32-bit files, which would not parse below.
fn built_for_platform(bytes: &[u8], start: u64, platform: &Platform) -> Result<(), Rejection> {
    let head = contains(
        bytes,
        "PE header",
        start + 4,
        size_of::<pe::ImageFileHeader>() as u64,
    )?;
    let (head, _) = object::pod::from_bytes::<pe::ImageFileHeader>(head)
        .map_err(|()| not_a_library("a PE file with a damaged header"))?;
    let found = match head.machine.get(LE) {
        pe::IMAGE_FILE_MACHINE_AMD64 => Architecture::X86_64,
        pe::IMAGE_FILE_MACHINE_ARM64 => Architecture::Aarch64,
        pe::IMAGE_FILE_MACHINE_I386 => Architecture::I386,
        _ => Architecture::Unknown,
    };
    if found != platform.architecture {
        return Err(platform.mismatch(format!("a PE file for {}", machine(found))));
    }
    if !head.characteristics.get(LE).contains(pe::IMAGE_FILE_DLL) {
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
