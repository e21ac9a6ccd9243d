//! The file with the digests of the tokens: read whole and checked, written in place of what was there. Knows nobody
//! who shows a token.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::secret::is_id;
use super::token::{Token, check_name};
use crate::platform::Fingerprint;

/// The one form that there is so far.
const VERSION: u64 = 1;
/// The most bytes of a file that is one of ours: some ten thousand tokens.
const MOST: u64 = 4 << 20;

/// What state a file was read in; none where there was none.
pub(super) type State = Option<Fingerprint>;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u64,
    tokens: Vec<Token>,
}

/// Looked at first: a later form may have other fields.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Why the tokens cannot be known.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system does not give it.
    #[error("cannot read the tokens in `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could have put a token there.
    #[error(
        "the tokens in `{}` can be written by others (mode {mode:03o}): `chmod 600 {}`, and look whom they let in with \
         `bulkhead token list`",
        path.display(), path.display()
    )]
    Loose {
        /// The file.
        path: PathBuf,
        /// Who may do what with it.
        mode: u32,
    },
    /// Somebody else has put it there.
    #[error(
        "the tokens in `{}` belong to the user {owner}, who could let in anybody: look whom they let in, then \
         `chown {expected} {}`",
        path.display(), path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// It is not what we have written.
    #[error(
        "the tokens in `{}` are damaged: {problem}; bring back the file as it was, or move it away and make new tokens \
         with `bulkhead token create`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The state of the file now, as cheaply as can be.
pub(super) fn state(path: &Path) -> Result<State, FileError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Fingerprint::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unreadable(path, source)),
    }
}

/// All tokens, and the state that they were read in. No file holds none.
pub(super) fn read(path: &Path) -> Result<(State, Vec<Token>), FileError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, Vec::new())),
        Err(source) => return Err(unreadable(path, source)),
    };
    let metadata = file.metadata().map_err(|it| unreadable(path, it))?;
    let damaged = |problem| FileError::Damaged {
        path: path.to_owned(),
        problem,
    };
    if !metadata.is_file() {
        return Err(damaged("it is no file".to_owned()));
    }
    check_owner(path, &metadata)?;
    check_mode(path, &metadata)?;
    let mut text = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut text);
    read.map_err(|it| unreadable(path, it))?;
    let tokens = parse(&text).map_err(damaged)?;
    Ok((Some(Fingerprint::of(&metadata)), tokens))
}

/// Waits for nobody: what is no file is found out, whatever it is.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = File::options();
    options.read(true).custom_flags(nonblocking).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Whose the file is can write it, whatever its mode. It is ours, or root's, or of whom its folder is: commands of root
/// leave it to the daemon's user.
#[cfg(unix)]
fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    let folder = fs::metadata(folder_of(path)).map_err(|it| unreadable(path, it))?;
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if [own, 0, folder.uid()].contains(&owner) {
        return Ok(());
    }
    let path = path.to_owned();
    let expected = folder.uid();
    Err(FileError::Foreign {
        path,
        owner,
        expected,
    })
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &Metadata) -> Result<(), FileError> {
    Ok(())
}

/// Who can write the file can let anybody in.
#[cfg(unix)]
fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    let mode = metadata.mode() & 0o777;
    let path = || path.to_owned();
    if mode & 0o022 == 0 {
        Ok(())
    } else {
        Err(FileError::Loose { path: path(), mode })
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &Metadata) -> Result<(), FileError> {
    Ok(())
}

fn parse(text: &[u8]) -> Result<Vec<Token>, String> {
    if text.len() as u64 > MOST {
        return Err(format!("it is larger than {MOST} bytes"));
    }
    let Versioned { version } = serde_json::from_slice(text).map_err(|it| it.to_string())?;
    if version != VERSION {
        return Err(format!(
            "its version is {version}, and this build knows {VERSION} only"
        ));
    }
    let kept: Kept = serde_json::from_slice(text).map_err(|it| it.to_string())?;
    check(&kept.tokens)?;
    Ok(kept.tokens)
}

fn check(tokens: &[Token]) -> Result<(), String> {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for token in tokens {
        if !is_id(&token.id) {
            let found = token.id.escape_debug();
            return Err(format!("`{found}` is no id: 12 of 0-9 and a-f"));
        }
        check_name(&token.name).map_err(|it| it.to_string())?;
        if !ids.insert(&token.id) {
            return Err(format!("it has the id `{}` twice", token.id));
        }
        if !names.insert(&token.name) {
            return Err(format!("it has the name `{}` twice", token.name));
        }
    }
    Ok(())
}

/// Writes `tokens` in place of what was there: whole, at rest, and for nobody else to read.
pub(super) fn write(path: &Path, tokens: Vec<Token>) -> io::Result<()> {
    let folder = folder_of(path);
    let version = VERSION;
    let mut new = NamedTempFile::new_in(folder)?;
    let mut text = serde_json::to_vec_pretty(&Kept { version, tokens })?;
    text.push(b'\n');
    new.write_all(&text)?;
    give(new.as_file(), folder)?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(())
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// What root makes belongs to whom the folder belongs to: else the daemon, which is not root, could not read it.
#[cfg(unix)]
pub(super) fn give(file: &File, folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let owner = fs::metadata(folder)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn give(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    FileError::Unreadable { path, source }
}
