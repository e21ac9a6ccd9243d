//! What the files in a shard are, by their names, and small steps with files that others may take away at any time.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use crate::names::Digest;

/// Ends the name of a file that is still written.
pub(super) const PART: &str = ".part";

/// Ends the name of a file that is about to be removed.
const ASIDE: &str = ".aside";

/// What a file in a shard is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A payload.
    Whole(Digest),
    /// A payload that is about to be removed.
    Aside(Digest),
    /// One that is still written, or was when its host was killed.
    Part,
}

impl Entry {
    /// What a file is; `None` for what is none of ours.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name.ends_with(PART) {
            return Some(Self::Part);
        }
        match name.strip_suffix(ASIDE) {
            Some(aside) => aside.split('.').next()?.parse().ok().map(Self::Aside),
            None => name.parse().ok().map(Self::Whole),
        }
    }
}

/// A name beside a payload's own that nobody else has.
pub(super) fn aside(file: &Path) -> PathBuf {
    file.with_extension(format!("{}{ASIDE}", Uuid::new_v4()))
}

/// What lies in a folder; nothing where there is none.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = found(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Whether there is such a file, and its time lies before. It is opened: what a file server says of a file that is
/// opened is not what it said a while ago.
pub(super) fn is_older(path: &Path, before: SystemTime) -> io::Result<bool> {
    let Some(file) = found(File::open(path))? else {
        return Ok(false);
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file() && metadata.modified()? < before)
}

/// Whether a file holds these bytes and no others.
pub(super) fn holds(file: &mut File, data: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() != data.len() as u64 {
        return Ok(false);
    }
    let mut piece = vec![0; data.len().min(64 << 10)];
    for expected in data.chunks(64 << 10) {
        let piece = &mut piece[..expected.len()];
        match file.read_exact(piece) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if piece != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was done with a file; `None` where there is no such file.
pub(super) fn found<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
