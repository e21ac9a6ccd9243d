//! Who may write to a plugin: only the host's own user and root. Reads metadata and opens nothing.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use thiserror::Error;

/// A file or folder that somebody else may change, with the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{path}` {found}; mend it with `{mend}`")]
pub struct Distrust {
    /// What is not trusted.
    pub path: String,
    /// Who may write to it.
    pub found: String,
    /// A shell command.
    pub mend: String,
}

/// What a folder and its parents came to.
#[derive(Debug)]
pub(super) enum FolderTrust {
    Trusted,
    Distrusted(Distrust),
    Unreadable(io::Error),
}

/// Judges a file by what its open descriptor says.
pub(super) fn file(path: &Path, metadata: &Metadata) -> Result<(), Distrust> {
    judge(path, metadata, Sticky::Counts)
}

/// Judges a folder and all its parents. `folder` must be canonical, or a link in it goes unseen.
pub(super) fn folder(folder: &Path) -> FolderTrust {
    for (depth, path) in folder.ancestors().enumerate() {
        let sticky = if depth == 0 {
            Sticky::Counts
        } else {
            Sticky::Excuses
        };
        match path
            .metadata()
            .map(|metadata| judge(path, &metadata, sticky))
        {
            Ok(Ok(())) => {}
            Ok(Err(distrust)) => return FolderTrust::Distrusted(distrust),
            Err(error) => return FolderTrust::Unreadable(error),
        }
    }
    FolderTrust::Trusted
}

/// Whether root's sticky bit makes up for a folder that all may write to: there they cannot replace what is ours,
/// but they can add to it.
#[derive(Clone, Copy, PartialEq)]
enum Sticky {
    Excuses,
    Counts,
}

#[cfg(unix)]
fn judge(path: &Path, metadata: &Metadata, sticky: Sticky) -> Result<(), Distrust> {
    use std::os::unix::fs::MetadataExt;

    let (owner, mode) = (metadata.uid(), metadata.mode());
    let ours = rustix::process::geteuid().as_raw();
    let distrust = |found, mend: String| {
        let path = path.display().to_string();
        let mend = format!("{mend} '{}'", path.replace('\'', r"'\''"));
        Err(Distrust { path, found, mend })
    };
    if owner != ours && owner != 0 {
        let found =
            format!("belongs to user {owner}, who is neither the host's user {ours} nor root");
        return distrust(found, format!("chown {ours}"));
    }
    let excused = sticky == Sticky::Excuses && owner == 0 && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !excused {
        let found = format!(
            "may be written to by others (its mode is {:04o})",
            mode & 0o7777
        );
        return distrust(found, "chmod go-w".to_owned());
    }
    Ok(())
}

/// Owners and modes are Unix's; elsewhere the folder's own access list has to do.
#[cfg(not(unix))]
fn judge(_: &Path, _: &Metadata, _: Sticky) -> Result<(), Distrust> {
    Ok(())
}
