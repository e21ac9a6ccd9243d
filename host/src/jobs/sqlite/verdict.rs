//! What an error of SQLite means for the store: whether it is one command's, passes, or is the end.
//! Knows no command.

use std::io::{ErrorKind, Write};
use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use super::session::Failure;
use crate::jobs::store::StoreError;

/// As much as a commit may want at once.
const PROBE: &[u8] = &[0; 256 << 10];

/// What is to be done about a failure.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is the error of that one command.
    Its(StoreError),
    /// All of the group get this error; the next group may fare better.
    Passing(StoreError),
    /// There is no room: another try may find some.
    Full(String),
    /// Nothing can be trusted any more.
    Broken(String),
}

/// What `failure` means for a store in `folder`.
pub(super) fn of(failure: &Failure, folder: &Path) -> Verdict {
    let error = match failure {
        Failure::Refused(error) => return Verdict::Its(error.clone()),
        Failure::Sql(error) => error,
    };
    let text = error.to_string();
    let Some(found) = error.sqlite_error() else {
        return Verdict::Its(StoreError::Other(text));
    };
    match found.code {
        ErrorCode::DiskFull => Verdict::Full(text),
        ErrorCode::SystemIoFailure if is_write(found.extended_code) && !has_room(folder) => {
            Verdict::Full(text)
        }
        ErrorCode::SystemIoFailure
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::ReadOnly => Verdict::Broken(named(error, found)),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let reason = format!("somebody else holds its file `jobs.db` ({text})");
            Verdict::Passing(StoreError::Unreachable(reason))
        }
        ErrorCode::OutOfMemory => Verdict::Passing(StoreError::Other(text)),
        _ => Verdict::Its(StoreError::Other(text)),
    }
}

// What fsync has lost cannot be known, whatever its error: such bytes may be gone although they were written.
fn is_write(extended_code: i32) -> bool {
    [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_IOERR_SHMMAP,
        ffi::SQLITE_IOERR_TRUNCATE,
    ]
    .contains(&extended_code)
}

/// Whether the system takes bytes in this folder: SQLite does not hand on why a write failed.
fn has_room(folder: &Path) -> bool {
    let tried = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(PROBE));
    !tried.is_err_and(|error| {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        full.contains(&error.kind())
    })
}

fn named(error: &Error, found: &ffi::Error) -> String {
    format!("{error} (SQLite's code {})", found.extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let error = Error::SqliteFailure(ffi::Error::new(code), None);
        let found = format!("{:?}", of(&error.into(), folder.path()));
        assert!(found.starts_with(expected), "{code}: {found}");
    }

    #[test]
    fn only_what_touches_the_whole_ends_the_store() {
        check(ffi::SQLITE_FULL, "Full");
        check(ffi::SQLITE_IOERR_FSYNC, "Broken");
        check(ffi::SQLITE_IOERR_DIR_FSYNC, "Broken");
        check(ffi::SQLITE_IOERR_WRITE, "Broken");
        check(ffi::SQLITE_IOERR_READ, "Broken");
        check(ffi::SQLITE_CORRUPT, "Broken");
        check(ffi::SQLITE_BUSY, "Passing(Unreachable");
        check(ffi::SQLITE_NOMEM, "Passing(Other");
        check(ffi::SQLITE_CONSTRAINT_UNIQUE, "Its");
    }
}
