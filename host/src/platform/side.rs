//! Which of the two sides of this module a host uses: the fast one of its system, or the one that
//! every system has.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The way in which a host and its workers share memory and talk.
#[derive(Clone, Debug)]
pub enum Side {
    /// Sealed memory, packet sockets and process descriptors of Linux.
    #[cfg(target_os = "linux")]
    Linux,
    /// What every system has: mapped files in this folder, loopback connections, child processes.
    Portable(Arc<PathBuf>),
}

impl Side {
    /// The fast side where there is one.
    #[cfg(target_os = "linux")]
    pub fn fast() -> Option<Self> {
        Some(Self::Linux)
    }

    /// The fast side where there is one.
    #[cfg(not(target_os = "linux"))]
    pub fn fast() -> Option<Self> {
        None
    }

    /// The side that every system has; `folder`, which is the host's own, is for its files.
    pub fn portable(folder: PathBuf) -> Self {
        Self::Portable(Arc::new(folder))
    }

    /// Where its files are, if it has any.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux => None,
            Self::Portable(folder) => Some(folder),
        }
    }

    /// Its name in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux => "linux",
            Self::Portable(_) => "portable",
        }
    }
}
