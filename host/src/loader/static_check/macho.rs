//! What a Mach-O library must be: 64-bit and little-endian, alone or as one part of a universal file.
//! Knows no other format.

use object::macho::{
    self, FatArch32, FatArch64, FatHeader, MachHeader64, SegmentCommand64, SymtabCommand,
};
use object::read::macho::{
    FatArch, LoadCommandVariant, MachHeader, MachOFatFile, Nlist, Section, Segment,
};
use object::{Architecture, Endianness};

use super::platform::{Platform, built_for, machine};
use super::{abi_header, contains, contains_one, mapping, names, not_a_library, slice, text_at};
use crate::loader::manifest::{Manifest, ManifestError};
use crate::loader::rejection::{Rejection, excerpt};

type Header = MachHeader64<Endianness>;
type SegmentOf<'a> = (&'a SegmentCommand64<Endianness>, &'a [u8]);

/// Judges a Mach-O file, or the part of a universal one that is for this platform.
pub(super) fn check(bytes: &[u8], platform: &Platform) -> Result<Manifest, Rejection> {
    match bytes.first_chunk() {
        Some([0xca, 0xfe, 0xba, 0xbe]) => check_thin(part::<FatArch32>(bytes, platform)?, platform),
        Some([0xca, 0xfe, 0xba, 0xbf]) => check_thin(part::<FatArch64>(bytes, platform)?, platform),
        _ => check_thin(bytes, platform),
    }
}

/// Every part must be whole, so that no prefix of a universal file passes; the platform's own is returned.
fn part<'a, Fat: FatArch>(bytes: &'a [u8], platform: &Platform) -> Result<&'a [u8], Rejection> {
    contains_one::<FatHeader>(bytes, "file header", 0)?;
    let count = bytes[7]; // `identify` has seen that the count is small
    let size = u64::from(count) * size_of::<Fat>() as u64;
    contains(bytes, "table of parts", size_of::<FatHeader>() as u64, size)?;
    let file = MachOFatFile::<Fat>::parse(bytes).map_err(damaged)?;
    let mut chosen = None;
    for part in file.arches() {
        let (offset, size) = part.file_range();
        let name = machine(part.architecture());
        let inside = contains(bytes, format_args!("part for {name}"), offset, size)?;
        if part.architecture() == platform.architecture {
            chosen = Some(inside);
        }
    }
    chosen
        .ok_or_else(|| platform.mismatch("a universal Mach-O file without a part for this machine"))
}

fn check_thin(bytes: &[u8], platform: &Platform) -> Result<Manifest, Rejection> {
    let header = built_for_platform(bytes, platform)?;
    let endian = platform.endian;
    let size = header.sizeofcmds(endian).into();
    contains(bytes, "load commands", size_of::<Header>() as u64, size)?;
    if header
        .flags(endian)
        .contains(macho::MH_ALLOW_STACK_EXECUTION)
    {
        return Err(Rejection::ExecStack {
            found: "it asks for an executable stack",
        });
    }
    let library = Library::open(bytes, header, endian)?;
    mapping(library.mapped())?;
    let manifest = library.manifest()?;
    library.root_module()?;
    Ok(manifest)
}

fn built_for_platform<'a>(bytes: &'a [u8], platform: &Platform) -> Result<&'a Header, Rejection> {
    contains_one::<Header>(bytes, "file header", 0)?;
    let mismatch = |found: &str| Err(platform.mismatch(format!("a Mach-O file, {found}")));
    if bytes[..4] != macho::MH_MAGIC_64.to_le_bytes() {
        return mismatch("32-bit or big-endian");
    }
    let header = Header::parse(bytes, 0).map_err(damaged)?;
    let found = match header.cputype(Endianness::Little) {
        macho::CPU_TYPE_X86_64 => Architecture::X86_64,
        macho::CPU_TYPE_ARM64 => Architecture::Aarch64,
        _ => Architecture::Unknown,
    };
    if found != platform.architecture {
        return mismatch(&built_for(true, Endianness::Little, machine(found)));
    }
    match header.filetype(Endianness::Little) {
        macho::MH_DYLIB | macho::MH_BUNDLE => Ok(header),
        macho::MH_EXECUTE => mismatch("an executable"),
        macho::MH_OBJECT => mismatch("an object file that was not linked"),
        _ => mismatch("not a library"),
    }
}

/// A file whose commands were read and whose ranges lie inside it.
struct Library<'a> {
    bytes: &'a [u8],
    endian: Endianness,
    segments: Vec<SegmentOf<'a>>,
    symbols: Option<&'a SymtabCommand<Endianness>>,
}

impl<'a> Library<'a> {
    fn open(bytes: &'a [u8], header: &Header, endian: Endianness) -> Result<Self, Rejection> {
        let mut library = Self {
            bytes,
            endian,
            segments: Vec::new(),
            symbols: None,
        };
        for command in header.load_commands(endian, bytes, 0).map_err(damaged)? {
            let command = command.map_err(damaged)?;
            match command.variant().map_err(damaged)? {
                LoadCommandVariant::Segment64(segment, sections) => {
                    library.add_segment((segment, sections))?;
                }
                LoadCommandVariant::Symtab(symbols) => library.add_symbols(symbols)?,
                LoadCommandVariant::Rpath(rpath) => {
                    let path = text_at(command.raw_data(), rpath.path.offset.get(endian).into());
                    let (tag, path) = ("LC_RPATH", excerpt(path));
                    return Err(Rejection::Rpath { tag, path });
                }
                _ => {}
            }
        }
        Ok(library)
    }

    fn add_segment(&mut self, (segment, sections): SegmentOf<'a>) -> Result<(), Rejection> {
        let (offset, size) = segment.file_range(self.endian);
        let name = excerpt(segment.name());
        contains(self.bytes, format_args!("segment {name}"), offset, size)?;
        self.segments.push((segment, sections));
        Ok(())
    }

    fn add_symbols(&mut self, symbols: &'a SymtabCommand<Endianness>) -> Result<(), Rejection> {
        let at = |field: &object::U32<Endianness>| u64::from(field.get(self.endian));
        let size = at(&symbols.nsyms) * size_of::<macho::Nlist64<Endianness>>() as u64;
        contains(self.bytes, "table of symbols", at(&symbols.symoff), size)?;
        contains(
            self.bytes,
            "names of symbols",
            at(&symbols.stroff),
            at(&symbols.strsize),
        )?;
        self.symbols.get_or_insert(symbols);
        Ok(())
    }

    fn mapped(&self) -> u64 {
        let sizes = self
            .segments
            .iter()
            .map(|(segment, _)| segment.vmsize(self.endian));
        sizes.fold(0, u64::saturating_add)
    }

    fn manifest(&self) -> Result<Manifest, Rejection> {
        let mut found = self
            .segments
            .iter()
            .filter_map(|(segment, sections)| segment.sections(self.endian, *sections).ok())
            .flatten()
            .filter(|section| section.segment_name() == b"__DATA" && section.name() == b"__bhmeta");
        let section = found.next().ok_or(Rejection::NoManifest)?;
        if found.next().is_some() {
            return Err(ManifestError::TwoNotes.into());
        }
        let (offset, size) = (
            section.offset(self.endian).into(),
            section.size(self.endian),
        );
        let contents = contains(self.bytes, "section __bhmeta", offset, size)?;
        Ok(Manifest::parse(contents, self.endian)?)
    }

    fn root_module(&self) -> Result<(), Rejection> {
        let address = self.exported().ok_or_else(abi_header::missing)?;
        let header = self.segments.iter().find_map(|(segment, _)| {
            let (offset, size) = segment.file_range(self.endian);
            let skip = address.checked_sub(segment.vmaddr(self.endian))?;
            slice(
                self.bytes,
                offset.checked_add(skip)?,
                size.checked_sub(skip)?,
            )
        });
        abi_header::check(header, self.endian)
    }

    fn exported(&self) -> Option<u64> {
        let table = self
            .symbols?
            .symbols::<Header, _>(self.endian, self.bytes)
            .ok()?;
        let (offset, size) = (
            self.symbols?.stroff.get(self.endian),
            self.symbols?.strsize.get(self.endian),
        );
        let strings = slice(self.bytes, offset.into(), size.into())?;
        let symbol = table
            .iter()
            .filter(|symbol| symbol.is_definition())
            .find(|symbol| {
                // C names have an underscore in front here.
                let at = symbol.n_strx(self.endian);
                strings.get(at as usize) == Some(&b'_')
                    && names(strings, at.saturating_add(1), abi_header::SYMBOL)
            })?;
        Some(symbol.n_value(self.endian))
    }
}

fn damaged(error: object::read::Error) -> Rejection {
    not_a_library(format!(
        "a damaged Mach-O file ({})",
        error.to_string().to_lowercase()
    ))
}
