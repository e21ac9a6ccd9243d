//! Looks at a write-ahead log before SQLite does, which takes a log with a damaged head for none. Knows no database.
//!
//! A crash can tear the end of a log, which held nothing that was acknowledged. But the head is made durable before
//! anything follows it: where it is damaged and something follows, acknowledged jobs are lost.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

const HEAD: usize = 32;
const MAGIC: [u32; 2] = [0x377f_0682, 0x377f_0683];

/// Whether the log can be used; else what is wrong with it.
pub(super) fn check(file: &Path) -> Result<(), String> {
    let mut log = match File::open(file) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("its log cannot be read: {error}")),
    };
    let mut head = Vec::new();
    let most = u64::try_from(HEAD).expect("it is short") + 1;
    let read = log.by_ref().take(most).read_to_end(&mut head);
    read.map_err(|error| format!("its log cannot be read: {error}"))?;
    if head.len() <= HEAD || is_sound(&head[..HEAD]) {
        return Ok(());
    }
    Err(format!(
        "the head of its log `{}` is not what was written",
        file.display()
    ))
}

fn is_sound(head: &[u8]) -> bool {
    let (words, _) = head.as_chunks::<4>();
    let big: Vec<u32> = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
    if !MAGIC.contains(&big[0]) {
        return false;
    }
    // The last bit of the magic says in which order the checksum takes its bytes.
    let order = |word: &[u8; 4]| match big[0] & 1 {
        1 => u32::from_be_bytes(*word),
        _ => u32::from_le_bytes(*word),
    };
    let summed: Vec<u32> = words[..6].iter().map(order).collect();
    let (pairs, _) = summed.as_chunks::<2>();
    let sum = pairs.iter().fold((0_u32, 0_u32), |(first, second), pair| {
        let first = first.wrapping_add(pair[0]).wrapping_add(second);
        (first, second.wrapping_add(pair[1]).wrapping_add(first))
    });
    sum == (big[6], big[7])
}
