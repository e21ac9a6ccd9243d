//! Builds of one plugin, without a compiler: its file with another number in it, and as many bytes more as wanted.

use std::fs;

use crate::fixture::fixture;

/// The plugin's name.
pub(crate) const PLUGIN: &str = "builds";

/// What stands before the number.
const MARK: &[u8] = b"BULKHEAD-BUILD:";

/// What all builds are made of.
pub(crate) struct Builds {
    bytes: Vec<u8>,
    number: usize,
}

impl Builds {
    /// Builds of at least so many bytes.
    pub(crate) fn new(size: usize) -> Self {
        let mut bytes = fs::read(fixture(PLUGIN)).unwrap();
        let mut places = bytes.windows(MARK.len());
        let place = places.position(|window| window == MARK);
        let number = place.expect("the fixture has its mark") + MARK.len();
        // No segment has them: they are copied and hashed, and never run.
        bytes.resize(bytes.len().max(size), 0);
        Self { bytes, number }
    }

    /// The bytes of one, whose answers say this number.
    pub(crate) fn make(&self, number: u16) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let digits = format!("{number:04}");
        let place = self.number..self.number + digits.len();
        bytes[place].copy_from_slice(digits.as_bytes());
        bytes
    }

    /// How many bytes each has.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}
