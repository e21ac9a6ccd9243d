//! Who has a file open for writing: the system grants a lease for reading only where nobody has.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::{EAGAIN, F_RDLCK, F_SETLEASE, F_UNLCK, SIGURG, c_int};

/// The command that chooses the signal of a lease; the `libc` crate has no name for it.
const F_SETSIG: c_int = 10;

pub(in crate::platform) fn has_writer(file: &File) -> Option<bool> {
    // Whoever opens the file for writing meanwhile is announced to the holder by SIGIO, which kills; this one is
    // ignored by default.
    control(file, F_SETSIG, SIGURG).ok()?;
    match control(file, F_SETLEASE, F_RDLCK) {
        Ok(()) => {
            // The writer waits until it is given back. Where that fails, closing the file does it.
            let _ = control(file, F_SETLEASE, F_UNLCK);
            Some(false)
        }
        Err(error) if error.raw_os_error() == Some(EAGAIN) => Some(true),
        // Not our file, or a file system without leases.
        Err(_) => None,
    }
}

fn control(file: &File, command: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and these commands take a number.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::thread;

    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn a_writer_is_seen_as_long_as_it_has_the_file_open() {
        let writer = NamedTempFile::new().unwrap();
        let reader = File::open(writer.path()).unwrap();
        assert_eq!(has_writer(&reader), Some(true));
        let path = writer.into_temp_path();
        assert_eq!(has_writer(&reader), Some(false));
        let second = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(has_writer(&reader), Some(true));
        drop(second);
        assert_eq!(has_writer(&reader), Some(false));
    }

    #[test]
    fn where_the_system_cannot_tell_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(has_writer(&File::open(folder.path()).unwrap()), None);
    }

    #[test]
    fn a_writer_that_comes_meanwhile_harms_neither_side() {
        let file = NamedTempFile::new().unwrap().into_temp_path();
        let writers = || {
            for _ in 0..20_000 {
                OpenOptions::new().append(true).open(&file).unwrap();
            }
        };
        let reader = File::open(&file).unwrap();
        let answers = thread::scope(|scope| {
            let writers = scope.spawn(writers);
            let mut answers = Vec::new();
            while !writers.is_finished() {
                answers.push(has_writer(&reader));
            }
            answers
        });
        assert!(answers.contains(&Some(true)) || answers.contains(&Some(false)));
        assert!(!answers.contains(&None));
    }
}
