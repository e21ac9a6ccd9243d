//! One look at a folder: which files it holds, and in which state. Opens none of them but to ask who writes to it, and
//! then only a regular one: opening a pipe waits for its writer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use super::settle::Writer;
use super::{FolderProblem, IsCandidate};
use crate::platform::{self, Fingerprint};

/// What tells one state of a file from another; nothing where the system does not tell of the file.
pub(super) type State = Option<Fingerprint>;

/// Tells a folder from another one in its place, as long as both are there.
#[cfg(unix)]
pub(super) type Identity = (u64, u64);

/// Tells a folder from another one in its place.
#[cfg(not(unix))]
pub(super) type Identity = Option<std::time::SystemTime>;

/// Which folder stands at this place, links followed; nothing where none does.
pub(super) fn identity(folder: &Path) -> Option<Identity> {
    fs::metadata(folder).ok().map(|it| identity_of(&it))
}

#[cfg(unix)]
fn identity_of(folder: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;

    (folder.dev(), folder.ino())
}

#[cfg(not(unix))]
fn identity_of(folder: &Metadata) -> Identity {
    folder.created().ok()
}

/// The state of each candidate in `folder`, whatever kind of file it is.
pub(super) fn files(
    folder: &Path,
    is_candidate: IsCandidate,
) -> Result<BTreeMap<OsString, State>, FolderProblem> {
    list(folder, is_candidate).map_err(|error| FolderProblem::of(folder, &error))
}

fn list(folder: &Path, is_candidate: IsCandidate) -> io::Result<BTreeMap<OsString, State>> {
    // Names can be listed even where none of the files can be reached: that is no change of all of them.
    fs::metadata(folder.join("."))?;
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if is_candidate(&name)
            && let Some(state) = state(&folder.join(&name))
        {
            files.insert(name, state);
        }
    }
    Ok(files)
}

/// A link that leads nowhere is in a state too. Nothing where the file is gone since it was listed.
fn state(path: &Path) -> Option<State> {
    match fs::metadata(path).or_else(|_| fs::symlink_metadata(path)) {
        Ok(metadata) => Some(Some(Fingerprint::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(None),
    }
}

/// Whether somebody has the file open for writing that was seen in this state.
pub(super) fn writer(path: &Path, seen: State) -> Writer {
    if !fs::metadata(path).is_ok_and(|it| it.is_file()) {
        // Nothing is ever read from it.
        return Writer::Closed;
    }
    let file = match open(path) {
        Ok(file) => file,
        // Somebody holds a lease for writing, and would have to give it up first.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Writer::Open,
        Err(_) => return Writer::Unknown,
    };
    match platform::has_writer(&file) {
        None => Writer::Unknown,
        Some(true) => Writer::Open,
        // A writer may have come and gone between the look and the question.
        Some(false) if is_still(&file, seen) => Writer::Closed,
        Some(false) => Writer::Open,
    }
}

fn is_still(file: &File, seen: State) -> bool {
    file.metadata()
        .is_ok_and(|it| Some(Fingerprint::of(&it)) == seen)
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    // Another file may have come in its place, of the kind that is waited for.
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}
