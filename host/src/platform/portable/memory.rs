//! Memory that is a file: mapped by both processes, found by its path.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// A new file of `size` bytes in `folder`.
pub(in crate::platform) fn create(folder: &Path, size: usize) -> io::Result<(File, PathBuf)> {
    let file = Builder::new().prefix("memory-").tempfile_in(folder)?;
    file.as_file().set_len(size as u64)?;
    Ok(file.keep()?)
}
