//! One file of the operator's becomes one private, checked copy that nobody else can change. Never maps the
//! operator's file and never reads it twice: the bytes that are checked are the bytes that are kept.

mod source;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

use super::manifest::{self, Manifest};
use super::rejection::{Refused, Rejection};
use super::static_check::static_check;
use super::trust::{self, Distrust, FolderTrust};
use crate::names::{Digest, PluginName};

/// How the system's libraries end, and therefore our copies.
pub(super) const SUFFIX: &str = std::env::consts::DLL_SUFFIX;

/// The folder of private copies.
#[derive(Debug)]
pub struct StagingArea {
    folder: PathBuf,
}

/// A private copy that passed every check that needs no foreign code.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The name of the operator's file.
    pub file_name: String,
    /// The copy.
    pub path: PathBuf,
    /// What the copy holds.
    pub digest: Digest,
    /// What the plugin says of itself.
    pub manifest: Manifest,
    /// The bytes in it.
    pub size: u64,
}

/// The folder of private copies cannot be had.
#[derive(Debug, Error)]
pub enum StagingError {
    /// It cannot be made or closed.
    #[error("cannot make the folder `{}` for private copies of plugins", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else may put another folder in its place, and so his code in the plugins'.
    #[error("the state folder is not safe: {0}")]
    Unsafe(#[from] Distrust),
}

impl StagingArea {
    /// The folder `generations` in the host's state, made where it is missing, closed to everybody else.
    ///
    /// # Errors
    /// [`StagingError`] when it cannot be made or closed.
    pub fn open(state: &Path) -> Result<Self, StagingError> {
        let folder = state.join("generations");
        let unusable = |source| StagingError::Unusable {
            folder: folder.clone(),
            source,
        };
        private_folder(&folder).map_err(unusable)?;
        let real = folder.canonicalize().map_err(unusable)?;
        match trust::folder(&real) {
            FolderTrust::Trusted => Ok(Self { folder: real }),
            FolderTrust::Distrusted(distrust) => Err(distrust.into()),
            FolderTrust::Unreadable(source) => Err(unusable(source)),
        }
    }

    /// Checks `file` and keeps a copy of it.
    ///
    /// # Errors
    /// [`Refused`] with the plugin's name where the file has one.
    pub fn stage(&self, file: &Path) -> Result<Staged, Refused> {
        let file_name = file.file_name().unwrap_or(file.as_os_str());
        let file_name = file_name.to_string_lossy();
        let bytes = source::read(file).map_err(|rejection| refused(&file_name, None, rejection))?;
        let staged = self.judge(&file_name, &bytes)?;
        match self.keep(&bytes, &staged.path) {
            Ok(()) => Ok(staged),
            Err(error) => {
                let rejection = Rejection::copy_failed(&self.folder, &error);
                Err(refused(&file_name, Some(staged.manifest.name), rejection))
            }
        }
    }

    /// Checks the copy that was kept of the file with this hash: a build that the plugins folder need not hold any
    /// more. It is told by `file_name`, the name that the operator's file had.
    ///
    /// # Errors
    /// [`Refused`] when the copy is gone or damaged, and when this host would not have taken it in the first place.
    pub fn restage(&self, digest: Digest, file_name: &str) -> Result<Staged, Refused> {
        let bytes = self
            .kept(digest)
            .map_err(|rejection| refused(file_name, None, rejection))?;
        self.judge(file_name, &bytes)
    }

    /// Removes every copy but those with these hashes, and what a staging that was cut short has left. Only for
    /// whoever stages, between two stagings. A copy that cannot be removed is no harm.
    pub fn keep_only(&self, kept: &HashSet<Digest>) {
        let Ok(found) = fs::read_dir(&self.folder) else {
            return;
        };
        let kept: HashSet<_> = kept.iter().map(|digest| self.place(*digest)).collect();
        for path in found.flatten().map(|file| file.path()) {
            if !kept.contains(&path) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// What a file with these bytes is, or is not, once its copy is kept.
    fn judge(&self, file_name: &str, bytes: &[u8]) -> Result<Staged, Refused> {
        let manifest = static_check(bytes)
            .map_err(|rejection| refused(file_name, name_despite(&rejection, bytes), rejection))?;
        let digest = digest(bytes);
        Ok(Staged {
            file_name: file_name.to_owned(),
            path: self.place(digest),
            digest,
            manifest,
            size: bytes.len() as u64,
        })
    }

    /// A copy that is there already stays: workers that run it share its memory.
    fn keep(&self, bytes: &[u8], path: &Path) -> io::Result<()> {
        if holds(path, bytes) {
            return Ok(());
        }
        let mut copy = Builder::new()
            .prefix(".staging-")
            .tempfile_in(&self.folder)?;
        copy.write_all(bytes)?;
        make_read_only(&copy)?;
        copy.persist(path)?;
        Ok(())
    }

    fn kept(&self, expected: Digest) -> Result<Vec<u8>, Rejection> {
        let bytes = fs::read(self.place(expected)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Rejection::CopyGone,
            _ => Rejection::unreadable("read its private copy", &error),
        })?;
        let found = digest(&bytes);
        if found == expected {
            Ok(bytes)
        } else {
            Err(Rejection::CopyDamaged {
                found: found.short(),
                expected: expected.short(),
            })
        }
    }

    fn place(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}{SUFFIX}"))
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

fn refused(file: &str, plugin: Option<PluginName>, rejection: Rejection) -> Refused {
    let file = file.to_owned();
    Refused {
        file,
        plugin,
        rejection,
    }
}

// A crash of the machine can leave a file that is shorter than what was written to it.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    path.metadata()
        .is_ok_and(|it| it.len() == bytes.len() as u64)
        && fs::read(path).is_ok_and(|found| found == bytes)
}

fn name_despite(rejection: &Rejection, bytes: &[u8]) -> Option<PluginName> {
    match rejection {
        Rejection::NoManifest => None,
        _ => manifest::find_name(bytes),
    }
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn make_read_only(copy: &NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    // For workers too, which are handed the open file under another user; the folder lets nobody in.
    copy.as_file()
        .set_permissions(Permissions::from_mode(0o555))
}

#[cfg(not(unix))]
fn make_read_only(_: &NamedTempFile) -> io::Result<()> {
    Ok(())
}

/// Whether a name in the plugins folder is one that plugins have: `.x.so`, `x.so~`, `x.so.tmp` and `X.SO` are none.
pub fn is_plugin_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    !name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests;
