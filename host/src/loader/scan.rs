//! A folder of files becomes plugins and refusals, the same ones for the same folder. Runs no foreign code, opens
//! only names that plugins have, and one bad file never hides the others.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::catalog::Catalog;
use super::rejection::Refused;
use super::staging::{Staged, StagingArea};
use super::trust::{self, Distrust, FolderTrust};

/// What a folder holds, each part sorted by the name of the file.
#[derive(Debug, Default)]
pub struct Scan {
    /// Plugins, each name once.
    pub staged: Vec<Arc<Staged>>,
    /// Files of `staged` whose present content is refused, and why: what is staged of them is their last good content.
    pub held: Vec<Refused>,
    /// Files that are not served, and why.
    pub refused: Vec<Refused>,
    /// Whether a reason among them may pass with the folder as it is: another look is worth while.
    pub retry: bool,
}

/// The folder itself cannot be used.
#[derive(Debug, Error)]
pub enum ScanError {
    /// There is none.
    #[error(
        "the plugins folder `{folder}` does not exist; make it, or name another with --plugins"
    )]
    Missing {
        /// As it was given.
        folder: PathBuf,
    },
    /// It cannot be listed.
    #[error("cannot read the plugins folder `{folder}`")]
    Unreadable {
        /// As it was given.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else may put files into it, or another folder in its place.
    #[error("the plugins folder is not safe: {0}")]
    UnsafePermissions(#[from] Distrust),
}

/// Checks and copies every plugin in `folder`. Of two files with one plugin's name, the first by file name is served.
///
/// # Errors
/// [`ScanError`] when the folder itself cannot be used; a bad file in it is part of the answer.
pub fn scan(folder: &Path, area: &Arc<StagingArea>) -> Result<Scan, ScanError> {
    let real = trusted(folder)?;
    let names = names(&real).map_err(|error| ScanError::of(folder, error))?;
    let files = names.into_iter().map(|name| (name, ()));
    Ok(Catalog::new(Arc::clone(area)).take(&real, files))
}

/// Where `folder` really is, if nobody else may put files into it.
pub(super) fn trusted(folder: &Path) -> Result<PathBuf, ScanError> {
    let failed = |error| ScanError::of(folder, error);
    let real = folder.canonicalize().map_err(failed)?;
    match trust::folder(&real) {
        FolderTrust::Trusted => Ok(real),
        FolderTrust::Distrusted(distrust) => Err(distrust.into()),
        FolderTrust::Unreadable(error) => Err(failed(error)),
    }
}

impl ScanError {
    fn of(folder: &Path, source: io::Error) -> Self {
        let folder = folder.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { folder },
            _ => Self::Unreadable { folder, source },
        }
    }
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
