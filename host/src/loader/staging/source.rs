//! The operator's file, read once into memory. Opens only what a look from outside found regular: opening a pipe
//! waits for its writer, and opening a device can do anything.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::loader::rejection::Rejection;
use crate::loader::trust::{self, FolderTrust};
use crate::platform::Fingerprint;

/// The largest file that is read.
const MAX_SIZE: u64 = 256 << 20;

/// The bytes of a regular, trusted file that stood still while it was read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Rejection> {
    fit(&path
        .metadata()
        .map_err(|error| Rejection::unreadable("look at it", &error))?)?;
    trusted_target(path)?;
    let mut file = open(path).map_err(|error| Rejection::unreadable("open it", &error))?;
    let before = look(&file)?;
    // What was opened may be another file than was looked at.
    fit(&before)?;
    trust::file(path, &before)?;
    let bytes = contents(&mut file, before.len())?;
    still(&before, &look(&file)?)?;
    Ok(bytes)
}

fn fit(metadata: &Metadata) -> Result<(), Rejection> {
    if !metadata.is_file() {
        let found = kind(metadata.file_type());
        return Err(Rejection::NotRegular { found });
    }
    if metadata.len() > MAX_SIZE {
        return Err(Rejection::TooLarge {
            size: metadata.len(),
            limit: MAX_SIZE,
        });
    }
    Ok(())
}

/// Where a link leads, nobody else may put another file; the folder that the link is in was judged by the scan.
fn trusted_target(path: &Path) -> Result<(), Rejection> {
    let unreadable = |error| Rejection::unreadable("follow its link", &error);
    if !path.is_symlink() {
        return Ok(());
    }
    let target = path.canonicalize().map_err(unreadable)?;
    match target.parent().map(trust::folder) {
        None | Some(FolderTrust::Trusted) => Ok(()),
        Some(FolderTrust::Distrusted(distrust)) => Err(Rejection::UnsafeTarget(distrust)),
        Some(FolderTrust::Unreadable(error)) => Err(unreadable(error)),
    }
}

fn look(file: &File) -> Result<Metadata, Rejection> {
    file.metadata()
        .map_err(|error| Rejection::unreadable("look at it", &error))
}

fn still(before: &Metadata, after: &Metadata) -> Result<(), Rejection> {
    if Fingerprint::of(before) == Fingerprint::of(after) {
        Ok(())
    } else {
        Err(Rejection::ChangedWhileReading)
    }
}

// One byte more than expected tells a file that grows from one that stands still.
fn contents(file: &mut File, size: u64) -> Result<Vec<u8>, Rejection> {
    let mut bytes = Vec::with_capacity(usize::try_from(size + 1).unwrap_or_default());
    match file.take(size + 1).read_to_end(&mut bytes) {
        Ok(read) if read as u64 == size => Ok(bytes),
        Ok(_) => Err(Rejection::ChangedWhileReading),
        Err(error) => Err(Rejection::unreadable("read it", &error)),
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    // Should it have become a pipe by now, the open returns at once; std closes it on exec.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(unix)]
fn kind(file_type: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;

    match file_type {
        it if it.is_dir() => "a folder",
        it if it.is_fifo() => "a named pipe",
        it if it.is_socket() => "a socket",
        it if it.is_block_device() || it.is_char_device() => "a device",
        _ => "something",
    }
}

#[cfg(not(unix))]
fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a folder"
    } else {
        "something"
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::SystemTime;

    use super::*;
    use crate::loader::samples;

    #[test]
    fn a_file_that_is_written_to_is_told_from_one_that_stands_still() {
        let check = |change: fn(&mut File), expected: Result<(), &str>| {
            let folder = samples::folder();
            let path = samples::write(folder.path(), "x.so", b"before");
            let mut file = File::options().append(true).open(path).unwrap();
            let before = file.metadata().unwrap();
            change(&mut file);
            let outcome = still(&before, &file.metadata().unwrap());
            assert_eq!(outcome.map_err(|it| it.reason()), expected);
        };
        check(|_| {}, Ok(()));
        check(
            |file| file.write_all(b"!").unwrap(),
            Err("changed_while_reading"),
        );
        check(
            |file| file.set_len(1).unwrap(),
            Err("changed_while_reading"),
        );
        check(
            |file| file.set_modified(SystemTime::UNIX_EPOCH).unwrap(),
            Err("changed_while_reading"),
        );
    }

    #[test]
    fn a_file_of_another_length_than_it_had_is_refused() {
        let folder = samples::folder();
        let path = samples::write(folder.path(), "x.so", b"123456");
        let check = |size, expected: Result<usize, &str>| {
            let outcome = contents(&mut File::open(&path).unwrap(), size);
            assert_eq!(
                outcome.map(|it| it.len()).map_err(|it| it.reason()),
                expected
            );
        };
        check(6, Ok(6));
        check(5, Err("changed_while_reading"));
        check(7, Err("changed_while_reading"));
    }
}
