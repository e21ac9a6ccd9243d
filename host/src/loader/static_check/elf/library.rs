//! An ELF file whose tables and ranges all lie inside it: nothing that is read through it can be cut off.

use object::Endianness;
use object::elf::{self, FileType, ProgramType};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::super::{contains, contains_one, not_a_library, slice};
use crate::loader::rejection::Rejection;

/// An ELF file whose tables and ranges all lie inside it.
pub(in super::super) struct Library<'a, Elf: FileHeader> {
    bytes: &'a [u8],
    header: &'a Elf,
    pub(in super::super) endian: Endianness,
    segments: &'a [Elf::ProgramHeader],
    sections: &'a [Elf::SectionHeader],
}

impl<'a, Elf: FileHeader<Endian = Endianness>> Library<'a, Elf> {
    /// Reads the tables and checks each range; segments decide alone where sections were stripped.
    pub(in super::super) fn open(bytes: &'a [u8], endian: Endianness) -> Result<Self, Rejection> {
        contains_one::<Elf>(bytes, "file header", 0)?;
        let header = Elf::parse(bytes).map_err(damaged)?;
        let library = Self {
            segments: segment_table(bytes, header, endian)?,
            sections: section_table(bytes, header, endian)?,
            bytes,
            header,
            endian,
        };
        library.all_inside()?;
        Ok(library)
    }

    pub(in super::super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn kind(&self) -> FileType {
        self.header.e_type(self.endian)
    }

    pub(super) fn segments(
        &self,
        kind: ProgramType,
    ) -> impl Iterator<Item = &'a Elf::ProgramHeader> {
        let endian = self.endian;
        self.segments
            .iter()
            .filter(move |segment| segment.p_type(endian) == kind)
    }

    pub(in super::super) fn sections(&self) -> impl Iterator<Item = &'a Elf::SectionHeader> {
        self.sections.iter()
    }

    pub(in super::super) fn section(&self, index: usize) -> Option<&'a Elf::SectionHeader> {
        self.sections.get(index)
    }

    /// The bytes of a section; none where it has none in the file.
    pub(in super::super) fn contents(&self, section: &Elf::SectionHeader) -> &'a [u8] {
        let (offset, size) = section.file_range(self.endian).unwrap_or_default();
        slice(self.bytes, offset, size).unwrap_or_default()
    }

    /// The strings that `section` refers to.
    pub(in super::super) fn strings_of(&self, section: &Elf::SectionHeader) -> &'a [u8] {
        self.section(section.sh_link(self.endian) as usize)
            .map_or(&[], |strings| self.contents(strings))
    }

    /// The names of sections.
    pub(super) fn section_names(&self) -> &'a [u8] {
        let index = self.header.e_shstrndx(self.endian).0;
        self.section(index.into())
            .map_or(&[], |strings| self.contents(strings))
    }

    /// The bytes that will stand at `address`, to the end of its segment's bytes in the file.
    pub(super) fn at(&self, address: u64) -> Option<&'a [u8]> {
        self.segments(elf::PT_LOAD).find_map(|segment| {
            let (offset, size) = segment.file_range(self.endian);
            let skip = address.checked_sub(segment.p_vaddr(self.endian).into())?;
            slice(
                self.bytes,
                offset.checked_add(skip)?,
                size.checked_sub(skip)?,
            )
        })
    }

    fn all_inside(&self) -> Result<(), Rejection> {
        for (index, segment) in self.segments.iter().enumerate() {
            let (offset, size) = segment.file_range(self.endian);
            contains(self.bytes, format_args!("segment {index}"), offset, size)?;
        }
        for (index, section) in self.sections.iter().enumerate() {
            let (offset, size) = section.file_range(self.endian).unwrap_or_default();
            contains(self.bytes, format_args!("section {index}"), offset, size)?;
        }
        Ok(())
    }
}

fn segment_table<'a, Elf: FileHeader<Endian = Endianness>>(
    bytes: &'a [u8],
    header: &'a Elf,
    endian: Endianness,
) -> Result<&'a [Elf::ProgramHeader], Rejection> {
    let (offset, count) = (header.e_phoff(endian).into(), header.e_phnum(endian));
    if offset == 0 || count == 0 || count == elf::PN_XNUM {
        return Err(not_a_library(format!(
            "an ELF file with {count} segments at byte {offset}"
        )));
    }
    let size = u64::from(count) * u64::from(header.e_phentsize(endian));
    contains(bytes, "table of segments", offset, size)?;
    header.program_headers(endian, bytes).map_err(damaged)
}

fn section_table<'a, Elf: FileHeader<Endian = Endianness>>(
    bytes: &'a [u8],
    header: &'a Elf,
    endian: Endianness,
) -> Result<&'a [Elf::SectionHeader], Rejection> {
    let (offset, count) = (header.e_shoff(endian).into(), header.e_shnum(endian));
    if offset == 0 {
        return Ok(&[]);
    }
    // More sections than the field can count are written as none; no linker makes a library of so many.
    if count == 0 {
        return Err(not_a_library("an ELF file with a table of no sections"));
    }
    let size = u64::from(count) * u64::from(header.e_shentsize(endian));
    contains(bytes, "table of sections", offset, size)?;
    header.section_headers(endian, bytes).map_err(damaged)
}

fn damaged(error: object::read::Error) -> Rejection {
    not_a_library(format!(
        "a damaged ELF file ({})",
        error.to_string().to_lowercase()
    ))
}
