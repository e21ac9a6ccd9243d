//! Makes ELF files wrong where it hurts: in their headers and tables, with numbers that mean something
//! there. Finds these places itself, in files that are already wrong too. Knows no plugin.

/// Numbers to draw from; a test's are the same each time.
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        self.draw().checked_rem(end as u64).unwrap_or(0) as usize
    }
}

/// Bytes that were changed, and what stood there.
pub struct Change {
    at: usize,
    was: Vec<u8>,
}

impl Change {
    /// Makes it undone.
    pub fn undo(self, bytes: &mut [u8]) {
        bytes[self.at..self.at + self.was.len()].copy_from_slice(&self.was);
    }
}

/// A table of records of one size, and where their numbers stand: offsets and widths.
struct Table {
    start: u64,
    count: u64,
    record: u64,
    fields: &'static [(u64, usize)],
}

const FILE: &[(u64, usize)] = &[
    (4, 1),
    (5, 1),
    (16, 2),
    (18, 2),
    (24, 8),
    (32, 8),
    (40, 8),
    (52, 2),
    (54, 2),
    (56, 2),
    (58, 2),
    (60, 2),
    (62, 2),
];
const SEGMENT: &[(u64, usize)] = &[
    (0, 4),
    (4, 4),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
];
const SECTION: &[(u64, usize)] = &[
    (0, 4),
    (4, 4),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 4),
    (44, 4),
    (48, 8),
    (56, 8),
];
const SYMBOL: &[(u64, usize)] = &[(0, 4), (4, 1), (6, 2), (8, 8), (16, 8)];
const DYNAMIC: &[(u64, usize)] = &[(0, 8), (8, 8)];
/// Versions that are needed, and notes, are made of such numbers.
const WORDS: &[(u64, usize)] = &[(0, 4), (0, 2), (0, 1)];

/// Changes one number of a 64-bit little-endian file. Any bytes will do.
pub fn mutate(bytes: &mut [u8], random: &mut Random) -> Option<Change> {
    let table = table(bytes, random);
    let record = random.below(usize::try_from(table.count).ok()?.min(1 << 16)) as u64;
    let (offset, width) = table.fields[random.below(table.fields.len())];
    let at = table
        .start
        .checked_add(record * table.record)?
        .checked_add(offset)?;
    let at = usize::try_from(at).ok()?;
    let was = bytes.get(at..at.checked_add(width)?)?.to_vec();
    let number = number(bytes, &was, random).to_le_bytes();
    bytes[at..at + width].copy_from_slice(&number[..width]);
    Some(Change { at, was })
}

/// One of the tables, those that are looked at more often first.
fn table(bytes: &[u8], random: &mut Random) -> Table {
    let word = |at| read(bytes, at, 8);
    let half = |at| read(bytes, at, 2);
    let (segments, sections) = (half(56).min(64), half(60).min(256));
    match random.below(8) {
        0 => Table {
            start: 0,
            count: 1,
            record: 64,
            fields: FILE,
        },
        1 | 2 => Table {
            start: word(32),
            count: segments,
            record: 56,
            fields: SEGMENT,
        },
        3 | 4 => Table {
            start: word(40),
            count: sections,
            record: 64,
            fields: SECTION,
        },
        _ => {
            let section = word(40).wrapping_add(64 * random.below(sections as usize) as u64);
            let (kind, start, size) = (
                read(bytes, section.wrapping_add(4), 4),
                word(section.wrapping_add(24)),
                word(section.wrapping_add(32)),
            );
            let (record, fields) = match kind {
                2 | 11 => (24, SYMBOL),
                6 => (16, DYNAMIC),
                _ => (4, WORDS),
            };
            Table {
                start,
                count: size / record,
                record,
                fields,
            }
        }
    }
}

/// A number that means something: a bound, a neighbour of what was there, or one from elsewhere.
fn number(bytes: &[u8], was: &[u8], random: &mut Random) -> u64 {
    let before = read(was, 0, was.len());
    let length = bytes.len() as u64;
    let elsewhere = random.below(bytes.len().min(0x400)) as u64 & !7;
    let choices = [
        0,
        1,
        u64::MAX,
        u64::MAX - 7,
        1 << 31,
        1 << 40,
        1 << 63,
        0xffff,
        before.wrapping_add(1),
        before.wrapping_sub(1),
        before ^ (1 << random.below(64)),
        before.wrapping_mul(2),
        length,
        length - 1,
        length.wrapping_sub(before),
        before.wrapping_neg(),
        read(bytes, elsewhere, 8),
        random.draw() % 40,
        random.draw(),
    ];
    choices[random.below(choices.len())]
}

/// The little-endian number of `width` bytes at `at`; 0 where there is none.
fn read(bytes: &[u8], at: u64, width: usize) -> u64 {
    let mut number = [0; 8];
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    let found = start
        .checked_add(width)
        .and_then(|end| bytes.get(start..end));
    if let Some(found) = found {
        number[..width].copy_from_slice(found);
    }
    u64::from_le_bytes(number)
}
