//! Tokens are made and taken away here, by a command or by the daemon: one at a time, whoever it is. Knows nobody who
//! shows a token.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use thiserror::Error;

use super::file::{self, FileError, folder_of};
use super::role::Role;
use super::secret::Secret;
use super::token::{BadName, Token, check_name};
use crate::names::Digest;

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct New {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How long it holds; `None` for ever.
    pub expires: Option<Duration>,
    /// How many requests it may make a second; 0 for as many as it likes, `None` for what the configuration says.
    pub rate: Option<u32>,
}

/// Why the tokens stay as they are.
#[derive(Debug, Error)]
pub enum EditError {
    /// They are not known.
    #[error(transparent)]
    File(#[from] FileError),
    /// They cannot be kept.
    #[error("cannot write the tokens in `{}`", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name is none.
    #[error(transparent)]
    Name(#[from] BadName),
    /// There is one of that name.
    #[error("there is a token `{0}` already: revoke it first, or take another name")]
    Taken(String),
    /// There is none of that name or id.
    #[error("there is no token `{0}`: `bulkhead token list` shows those there are")]
    Unknown(String),
    /// It would end at once, or never.
    #[error(
        "a token cannot expire after {0:?}: give a time from a second to some thousand years, such as 90d"
    )]
    Expiry(Duration),
    /// The system has no random bits.
    #[error("the system gives no random bits: {0}")]
    Random(getrandom::Error),
}

/// Makes a token, and gives it with the secret that nobody will see again.
///
/// # Errors
/// When the name is none or taken, or the file cannot be read or written.
pub fn create(path: &Path, new: New) -> Result<(Token, Secret), EditError> {
    check_name(&new.name)?;
    let now = Utc::now().trunc_subsecs(0);
    let expires_at = new.expires.map(|it| end_of(now, it)).transpose()?;
    let _turn = turn(path).map_err(|source| unwritable(path, source))?;
    let (_, mut tokens) = file::read(path)?;
    let is_named = |token: &Token| token.name == new.name || token.id == new.name;
    if tokens.iter().any(is_named) {
        return Err(EditError::Taken(new.name));
    }
    let mut secret = Secret::random().map_err(EditError::Random)?;
    while tokens.iter().any(|token| token.id == secret.id()) {
        secret = Secret::random().map_err(EditError::Random)?;
    }
    let token = Token {
        id: secret.id().to_owned(),
        name: new.name,
        role: new.role,
        sha256: Digest::new(secret.digest()),
        created_at: now,
        expires_at,
        rate: new.rate,
    };
    tokens.push(token.clone());
    file::write(path, tokens).map_err(|source| unwritable(path, source))?;
    Ok((token, secret))
}

/// Takes a token away, by its id or its name.
///
/// # Errors
/// When there is none, or the file cannot be read or written.
pub fn revoke(path: &Path, which: &str) -> Result<Token, EditError> {
    let _turn = turn(path).map_err(|source| unwritable(path, source))?;
    let (_, mut tokens) = file::read(path)?;
    let by_id = tokens.iter().position(|token| token.id == which);
    let found = by_id.or_else(|| tokens.iter().position(|token| token.name == which));
    let unknown = || EditError::Unknown(which.escape_debug().take(64).collect());
    let token = tokens.remove(found.ok_or_else(unknown)?);
    file::write(path, tokens).map_err(|source| unwritable(path, source))?;
    Ok(token)
}

/// All tokens, the oldest first.
///
/// # Errors
/// When the file cannot be read.
pub fn list(path: &Path) -> Result<Vec<Token>, FileError> {
    file::read(path).map(|(_, tokens)| tokens)
}

fn end_of(now: DateTime<Utc>, expires: Duration) -> Result<DateTime<Utc>, EditError> {
    let delta = TimeDelta::from_std(expires).ok();
    let end = delta.and_then(|delta| now.checked_add_signed(delta));
    // Later years have no form in RFC 3339 that all read.
    let end = end.filter(|end| *end > now && end.year() <= 9999);
    end.ok_or(EditError::Expiry(expires))
}

/// The turn to change the file. Not the lock of the state: a daemon holds that.
fn turn(path: &Path) -> io::Result<File> {
    let folder = folder_of(path);
    make(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let lock = open(&folder.join(name))?;
    file::give(&lock, folder)?;
    lock.lock()?;
    Ok(lock)
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn open(lock: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.create(true).append(true).mode(0o600).open(lock)
}

#[cfg(not(unix))]
fn open(lock: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(lock)
}

fn unwritable(path: &Path, source: io::Error) -> EditError {
    let path = path.to_owned();
    EditError::Unwritable { path, source }
}
