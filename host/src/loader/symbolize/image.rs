//! Looks addresses up in a library's file: its symbol table, and its line programs.
//!
//! The file is an author's, and this runs in the host: all is read once from begin to end, without
//! recursion, and what is kept does not grow with what a file says of itself. The tree of functions
//! in `.debug_info`, which nests as deep as a file likes, is not read. Knows nothing of frames.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use addr2line::gimli::RunTimeEndian;
use object::read::{CompressionFormat, ReadCache};
use object::{
    Object, ObjectSection, ObjectSegment, ObjectSymbol, ObjectSymbolTable, SymbolIndex, SymbolKind,
};

use super::lines::{Place, Tables, places};

/// The largest file that is looked into.
const MAX_FILE: u64 = 1 << 30;
/// The largest section of debug information that is read, of three.
const MAX_SECTION: u64 = 64 << 20;
/// How many addresses of one backtrace are named.
pub(super) const MAX_ADDRESSES: usize = 64;

type Elf<'data> = object::File<'data, &'data ReadCache<File>>;

/// What a library's file knows of the addresses of one backtrace.
pub(super) struct Image {
    base: u64,
    /// The file's own addresses that are mapped.
    extent: Range<u64>,
    symbols: BTreeMap<u64, String>,
    places: BTreeMap<u64, Place>,
}

impl Image {
    /// Reads the file at `path`, which is mapped at `base`, for these addresses.
    pub(super) fn read(path: &Path, base: Option<u64>, addresses: &[u64]) -> Option<Self> {
        let file = File::open(path).ok()?;
        if file.metadata().ok()?.len() > MAX_FILE {
            return None;
        }
        let cache = ReadCache::new(file);
        let file = object::File::parse(&cache).ok()?;
        let mut image = Self {
            base: base?,
            extent: extent(&file)?,
            symbols: BTreeMap::new(),
            places: BTreeMap::new(),
        };
        let inside = addresses.iter().filter_map(|it| image.offset(*it));
        let mut wanted: Vec<u64> = inside.take(MAX_ADDRESSES).collect();
        wanted.sort_unstable();
        wanted.dedup();
        image.symbols = symbols(&file, &wanted);
        image.places = tables(&file).map_or_else(BTreeMap::new, |it| places(&it, &wanted));
        Some(image)
    }

    /// The address as the file counts, if it lies in the library.
    fn offset(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.base)?;
        self.extent.contains(&offset).then_some(offset)
    }

    /// Whether the address lies in the library.
    pub(super) fn contains(&self, address: u64) -> bool {
        self.offset(address).is_some()
    }

    /// The symbol of the function at an address that was asked for, as the file writes it.
    pub(super) fn symbol(&self, address: u64) -> Option<&str> {
        Some(self.symbols.get(&self.offset(address)?)?)
    }

    /// The place in the source of an address that was asked for.
    pub(super) fn place(&self, address: u64) -> Option<&Place> {
        self.places.get(&self.offset(address)?)
    }
}

fn extent(file: &Elf<'_>) -> Option<Range<u64>> {
    let start = file.segments().map(|it| it.address()).min()?;
    let segments = file.segments();
    let end = segments.map(|it| it.address().saturating_add(it.size()));
    Some(start..end.max()?)
}

/// The symbols in which the sorted addresses lie. Only these are read: names can overlap, so all
/// of them can be much larger than the file.
fn symbols(file: &Elf<'_>, wanted: &[u64]) -> BTreeMap<u64, String> {
    let table = file.symbol_table().or_else(|| file.dynamic_symbol_table());
    let Some(table) = table else {
        return BTreeMap::new();
    };
    let mut best: BTreeMap<u64, (bool, u64, SymbolIndex)> = BTreeMap::new();
    for symbol in table.symbols() {
        let is_code = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown);
        if !is_code || !symbol.is_definition() {
            continue;
        }
        // Some assemblers give no size, and some formats have none.
        let (start, is_sized) = (symbol.address(), symbol.size() > 0);
        let end = if is_sized {
            start.saturating_add(symbol.size())
        } else {
            u64::MAX
        };
        for address in within(wanted, start..end) {
            let found = best.get(address);
            if found.is_none_or(|it| (it.0, it.1) < (is_sized, start)) {
                best.insert(*address, (is_sized, start, symbol.index()));
            }
        }
    }
    let name = |index| Some(table.symbol_by_index(index).ok()?.name().ok()?.to_owned());
    let named = best.into_iter();
    named
        .filter_map(|(address, (_, _, index))| Some((address, name(index)?)))
        .collect()
}

/// Those of the sorted addresses that lie in a range.
pub(super) fn within(wanted: &[u64], range: Range<u64>) -> &[u64] {
    let begin = wanted.partition_point(|it| *it < range.start);
    let end = wanted.partition_point(|it| *it < range.end);
    wanted.get(begin..end).unwrap_or_default()
}

fn tables<'data>(file: &Elf<'data>) -> Option<Tables<'data>> {
    let endian = match file.is_little_endian() {
        true => RunTimeEndian::Little,
        false => RunTimeEndian::Big,
    };
    Some(Tables {
        endian,
        address_size: file.architecture().address_size()?.bytes(),
        programs: section(file, ".debug_line")?,
        strings: section(file, ".debug_str").unwrap_or_default(),
        line_strings: section(file, ".debug_line_str").unwrap_or_default(),
    })
}

/// A section as it is. What would have to be unpacked first counts as too large.
fn section<'data>(file: &Elf<'data>, name: &str) -> Option<&'data [u8]> {
    let section = file.section_by_name(name)?;
    let range = section.compressed_file_range().ok()?;
    let is_plain = range.format == CompressionFormat::None;
    let fits = range.compressed_size.max(section.size()) <= MAX_SECTION;
    (is_plain && fits).then(|| section.data().ok()).flatten()
}
