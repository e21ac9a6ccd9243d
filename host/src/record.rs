//! What a host notes for the next one: small JSON files in folders of its state, whole or not there. Knows
//! nothing of what they say.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

/// What `file` says; nothing where there is none, or where it was damaged.
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Notes `record` in `file`, in place of what was there.
pub(crate) fn keep(file: &Path, record: &impl Serialize) -> io::Result<()> {
    let folder = file.parent().expect("it was joined to one");
    fs::create_dir_all(folder)?;
    let mut new = NamedTempFile::new_in(folder)?;
    // In one piece: the writer of JSON writes each of its signs by itself.
    new.write_all(&serde_json::to_vec(record)?)?;
    new.persist(file)?;
    Ok(())
}
