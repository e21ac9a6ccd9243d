//! What an ELF library must be before the system's loader may see it. Knows no other format.

mod contents;
mod dynamic;
mod library;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Architecture, Endianness};

pub(super) use library::Library;

use super::platform::{self, Platform, built_for};
use super::{glibc, mapping, not_a_library};
use crate::loader::manifest::Manifest;
use crate::loader::rejection::Rejection;

/// Judges an ELF file in the order in which its parts build on each other.
pub(super) fn check(bytes: &[u8], platform: &Platform) -> Result<Manifest, Rejection> {
    if platform.is_64 {
        check_class::<FileHeader64<Endianness>>(bytes, platform)
    } else {
        check_class::<FileHeader32<Endianness>>(bytes, platform)
    }
}

fn check_class<Elf: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    platform: &Platform,
) -> Result<Manifest, Rejection> {
    built_for_platform(bytes, platform)?;
    let library = Library::<Elf>::open(bytes, platform.endian)?;
    shared(&library, platform)?;
    exec_stack(&library, platform)?;
    mapping(mapped(&library))?;
    dynamic::no_search_path(&library)?;
    if let Some(running) = platform.glibc {
        glibc::not_newer(&library, running)?;
    }
    let manifest = contents::manifest(&library)?;
    contents::root_module(&library)?;
    Ok(manifest)
}

/// Reads raw fields, which stand in the same place in both classes, so that a stranger is told what he is.
fn built_for_platform(bytes: &[u8], platform: &Platform) -> Result<(), Rejection> {
    let head = super::contains(bytes, "file header", 0, 20)?;
    let is_64 = match head[4] {
        1 => false,
        2 => true,
        other => return Err(not_a_library(format!("an ELF file of class {other}"))),
    };
    let endian = match head[5] {
        1 => Endianness::Little,
        2 => Endianness::Big,
        other => return Err(not_a_library(format!("an ELF file of byte order {other}"))),
    };
    let number = object::Endian::read_u16(endian, [head[18], head[19]]);
    let wanted = machine_of(platform.architecture);
    if (is_64, endian, Some(number)) == (platform.is_64, platform.endian, wanted.map(|it| it.0)) {
        return Ok(());
    }
    let name = KNOWN.iter().find(|(_, machine)| machine.0 == number);
    let machine = name.map_or_else(
        || format!("machine {number}"),
        |(architecture, _)| platform::machine(*architecture),
    );
    Err(platform.mismatch(format!(
        "an ELF file, {}",
        built_for(is_64, endian, machine)
    )))
}

const KNOWN: &[(Architecture, elf::Machine)] = &[
    (Architecture::X86_64, elf::EM_X86_64),
    (Architecture::Aarch64, elf::EM_AARCH64),
    (Architecture::I386, elf::EM_386),
    (Architecture::Arm, elf::EM_ARM),
    (Architecture::Riscv64, elf::EM_RISCV),
    (Architecture::PowerPc64, elf::EM_PPC64),
    (Architecture::S390x, elf::EM_S390),
    (Architecture::LoongArch64, elf::EM_LOONGARCH),
];

fn machine_of(architecture: Architecture) -> Option<elf::Machine> {
    KNOWN
        .iter()
        .find(|(known, _)| *known == architecture)
        .map(|(_, machine)| *machine)
}

fn shared<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
    platform: &Platform,
) -> Result<(), Rejection> {
    let interpreted = library.segments(elf::PT_INTERP).next().is_some();
    let found = match library.kind() {
        elf::ET_DYN if interpreted || dynamic::is_executable(library) => {
            "a position-independent executable"
        }
        elf::ET_DYN => return dynamic::exists(library),
        elf::ET_EXEC => "an executable",
        elf::ET_REL => "an object file that was not linked",
        elf::ET_CORE => "a core dump",
        _ => "an ELF file of an unknown type",
    };
    Err(platform.mismatch(found))
}

fn exec_stack<Elf: FileHeader<Endian = Endianness>>(
    library: &Library<'_, Elf>,
    platform: &Platform,
) -> Result<(), Rejection> {
    let mut stacks = library.segments(elf::PT_GNU_STACK).peekable();
    // Without a word on it, glibc makes the stack executable; its arm64 port alone does not.
    let silent = stacks.peek().is_none() && platform.architecture != Architecture::Aarch64;
    if silent {
        return Err(Rejection::ExecStack {
            found: "it does not say that its stack is not executable",
        });
    }
    if stacks.any(|stack| stack.p_flags(library.endian).contains(elf::PF_X)) {
        return Err(Rejection::ExecStack {
            found: "it asks for an executable stack",
        });
    }
    Ok(())
}

/// What is mapped: one range from the first address to the last, or all segments, should they overlap.
fn mapped<Elf: FileHeader<Endian = Endianness>>(library: &Library<'_, Elf>) -> u64 {
    let (mut sum, mut start, mut end) = (0_u64, u64::MAX, 0);
    for segment in library.segments(elf::PT_LOAD) {
        let address = segment.p_vaddr(library.endian).into();
        let size = segment.p_memsz(library.endian).into();
        sum = sum.saturating_add(size);
        start = start.min(address);
        end = end.max(address.saturating_add(size));
    }
    sum.max(end.saturating_sub(start))
}
