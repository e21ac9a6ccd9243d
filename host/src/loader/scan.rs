//! A folder of files becomes plugins and refusals, the same ones for the same folder. Runs no foreign code, opens
//! only names that plugins have, and one bad file never hides the others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::rejection::{Refused, Rejection};
use super::staging::{Staged, StagingArea, is_plugin_name};
use super::trust::{self, Distrust, FolderTrust};
use crate::names::PluginName;

/// What a folder holds, each part sorted by the name of the file.
#[derive(Debug, Default)]
pub struct Scan {
    /// Plugins, each name once.
    pub staged: Vec<Staged>,
    /// Files that are not served, and why.
    pub refused: Vec<Refused>,
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
pub fn scan(folder: &Path, area: &StagingArea) -> Result<Scan, ScanError> {
    let failed = |error| ScanError::of(folder, error);
    let real = folder.canonicalize().map_err(failed)?;
    match trust::folder(&real) {
        FolderTrust::Trusted => {}
        FolderTrust::Distrusted(distrust) => return Err(distrust.into()),
        FolderTrust::Unreadable(error) => return Err(failed(error)),
    }
    let files = plugin_files(&real).map_err(failed)?;
    // One after the other: over a thousand files on two busy cores, a second thread made no difference.
    Ok(Scan::of(files.iter().map(|file| area.stage(file))))
}

impl Scan {
    /// Sorts outcomes that come in the order of their files' names.
    fn of(outcomes: impl Iterator<Item = Result<Staged, Refused>>) -> Self {
        let mut scan = Self::default();
        let mut winners = HashMap::new();
        for outcome in outcomes {
            match outcome.and_then(|staged| first_of_its_name(staged, &mut winners)) {
                Ok(staged) => scan.staged.push(staged),
                Err(refused) => scan.refused.push(refused),
            }
        }
        scan
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

fn first_of_its_name(
    staged: Staged,
    winners: &mut HashMap<PluginName, String>,
) -> Result<Staged, Refused> {
    match winners.entry(staged.manifest.name.clone()) {
        Entry::Vacant(vacant) => {
            vacant.insert(staged.file_name.clone());
            Ok(staged)
        }
        Entry::Occupied(winner) => Err(Refused {
            file: staged.file_name,
            plugin: Some(staged.manifest.name),
            rejection: Rejection::DuplicateName {
                winner: winner.get().clone(),
            },
        }),
    }
}

fn plugin_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_plugin_name(&entry.file_name()) {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
