//! Memory without a name: a memfd, sealed so that the other process can neither cut it, which would
//! fault whoever reads it, nor write what it is only to read.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::platform::memory::Theirs;

/// New memory of `size` bytes, all zero; no page of it is in use yet.
pub(in crate::platform) fn create(size: usize) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("bulkhead", flags)?;
    ftruncate(&fd, size as u64)?;
    Ok(fd.into())
}

/// Closes the memory to all changes but writes through mappings that are there already, and through
/// new ones if the other process may write.
pub(in crate::platform) fn seal(file: &File, theirs: Theirs) -> io::Result<()> {
    let size = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let seals = match theirs {
        Theirs::Read => size | SealFlags::FUTURE_WRITE,
        Theirs::Write => size,
    };
    Ok(fcntl_add_seals(file, seals)?)
}
