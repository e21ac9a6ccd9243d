//! Runs the line programs of a file for some addresses. Each byte of them is seen once, and no
//! table is built, because one byte can make a row. Knows no file format around the sections.

use std::collections::BTreeMap;

use addr2line::gimli::{
    AttributeValue, DebugLine, DebugLineOffset, EndianSlice, IncompleteLineProgram,
    LineInstruction, LineRow, Reader, Result, RunTimeEndian,
};

use super::image::within;

/// The longest list of files that a program may have: each byte can be a file.
const MAX_HEADER: usize = 1 << 20;
/// The longest part of a path, in bytes.
const MAX_PATH: usize = 4096;

type Bytes<'data> = EndianSlice<'data, RunTimeEndian>;
type Program<'data> = IncompleteLineProgram<Bytes<'data>>;

/// A source file, and a line in it.
pub(super) type Place = (String, u32);

/// The sections that line programs are in, and their texts.
pub(super) struct Tables<'data> {
    pub(super) endian: RunTimeEndian,
    pub(super) address_size: u8,
    pub(super) programs: &'data [u8],
    pub(super) strings: &'data [u8],
    pub(super) line_strings: &'data [u8],
}

/// The places of these sorted addresses, as far as they have one.
pub(super) fn places(tables: &Tables<'_>, wanted: &[u64]) -> BTreeMap<u64, Place> {
    let section = DebugLine::new(tables.programs, tables.endian);
    let mut places = BTreeMap::new();
    let mut offset = 0;
    while let Some((header, whole)) = lengths(tables, offset) {
        if header <= MAX_HEADER
            && let Ok(program) =
                section.program(DebugLineOffset(offset), tables.address_size, None, None)
        {
            // A damaged program has told what it could, and the next one begins elsewhere.
            let _damaged = run(tables, program, wanted, &mut places);
        }
        offset += whole;
    }
    places
}

/// How long the header of the program at an offset is, and the whole program.
fn lengths(tables: &Tables<'_>, offset: usize) -> Option<(usize, usize)> {
    let mut rest = EndianSlice::new(tables.programs.get(offset..)?, tables.endian);
    let all = rest.len();
    let (length, format) = rest.read_initial_length().ok()?;
    let whole = (all - rest.len()).checked_add(length)?;
    let mut program = rest.split(length).ok()?;
    let header = program.read_u16().and_then(|version| {
        // The fifth version has the sizes of an address and a segment first.
        program.skip(if version >= 5 { 2 } else { 0 })?;
        program.read_length(format)
    });
    Some((header.unwrap_or(usize::MAX), whole))
}

/// Runs one program from begin to end.
fn run(
    tables: &Tables<'_>,
    mut program: Program<'_>,
    wanted: &[u64],
    places: &mut BTreeMap<u64, Place>,
) -> Result<()> {
    let mut row = LineRow::new(program.header());
    let mut before: Option<LineRow> = None;
    let mut is_removed = true;
    let mut instructions = program.header().instructions();
    while let Some(instruction) = instructions.next_instruction(program.header())? {
        match instruction {
            // Nothing needs more files than the header has, or so large a step.
            LineInstruction::DefineFile(_) | LineInstruction::AdvanceLine(i64::MIN) => continue,
            // The linker leaves the lines of functions that it removed at no address.
            LineInstruction::SetAddress(at) => is_removed = at == 0 || at >= u64::MAX - 1,
            _ => {}
        }
        if !row.execute(instruction, &mut program)? {
            continue;
        }
        if let Some(before) = before.take().filter(|_| !is_removed) {
            for address in within(wanted, before.address()..row.address()) {
                if !places.contains_key(address)
                    && let Some(place) = place(tables, &program, &before)
                {
                    places.insert(*address, place);
                }
            }
        }
        is_removed |= row.end_sequence();
        before = Some(row).filter(|_| !is_removed);
        row.reset(program.header());
    }
    Ok(())
}

/// The path is relative if the program's is: then it begins at the workspace or the crate.
fn place(tables: &Tables<'_>, program: &Program<'_>, row: &LineRow) -> Option<Place> {
    let line = u32::try_from(row.line()?.get()).ok()?;
    let file = row.file(program.header())?;
    let name = text(tables, file.path_name())?;
    let is_whole = name.starts_with('/') || file.directory_index() == 0;
    let folder = file.directory(program.header()).filter(|_| !is_whole);
    let path = match folder.and_then(|folder| text(tables, folder)) {
        Some(folder) => format!("{folder}/{name}"),
        None => name,
    };
    Some((path, line))
}

fn text(tables: &Tables<'_>, value: AttributeValue<Bytes<'_>>) -> Option<String> {
    let bytes = match value {
        AttributeValue::String(bytes) => bytes.slice(),
        AttributeValue::DebugStrRef(at) => tables.strings.get(at.0..)?,
        AttributeValue::DebugLineStrRef(at) => tables.line_strings.get(at.0..)?,
        _ => return None,
    };
    let bytes = bytes.iter().take(MAX_PATH).take_while(|byte| **byte != 0);
    let bytes: Vec<u8> = bytes.copied().collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
