//! What goes along with a frame: memory, files and channels that the other process is to have.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::side::Side;

/// A way for another process to something of ours.
#[derive(Debug)]
pub enum Handle {
    /// A descriptor, which the system copies into the other process.
    #[cfg(unix)]
    Descriptor(OwnedFd),
    /// A name that both processes know it by: a path, or an address with a token.
    Name(String),
}

impl Handle {
    /// The handle of a file that is there and is to be read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn of_file(side: &Side, path: &Path) -> io::Result<Self> {
        match side {
            #[cfg(target_os = "linux")]
            Side::Linux => Ok(Self::Descriptor(std::fs::File::open(path)?.into())),
            Side::Portable(_) => Self::of_path(path),
        }
    }

    /// The handle of a file that the other process may open by itself.
    pub(super) fn of_path(path: &Path) -> io::Result<Self> {
        let text = path.to_str().ok_or_else(|| {
            let problem = format!("the path `{}` is no UTF-8", path.display());
            io::Error::new(io::ErrorKind::InvalidFilename, problem)
        })?;
        Ok(Self::Name(text.to_owned()))
    }

    /// The file that the handle is of, to be read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> io::Result<std::fs::File> {
        match self {
            #[cfg(unix)]
            Self::Descriptor(fd) => Ok(fd.try_clone()?.into()),
            Self::Name(path) => std::fs::File::open(path),
        }
    }

    /// A path under which this process can open what the handle is of.
    pub fn path(&self) -> PathBuf {
        match self {
            #[cfg(unix)]
            Self::Descriptor(fd) => {
                use std::os::fd::AsRawFd;
                PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            }
            Self::Name(path) => PathBuf::from(path),
        }
    }

    pub(super) fn into_file(self, write: bool) -> io::Result<std::fs::File> {
        match self {
            #[cfg(unix)]
            Self::Descriptor(fd) => Ok(fd.into()),
            Self::Name(path) => std::fs::File::options().read(true).write(write).open(path),
        }
    }
}

/// A handle is of another kind than this side uses: the two processes do not agree.
pub(super) fn foreign() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a handle of the other side's kind",
    )
}
