//! What a worker is held to, in words that any system can carry. How it is done stands in
//! [`linux`](super::linux); knows nothing of plugins and of who chose the values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The open file of the library that a worker will load, lent for the length of a call.
#[cfg(unix)]
pub type LibraryFile<'a> = std::os::fd::BorrowedFd<'a>;
/// The open file of the library that a worker will load, lent for the length of a call.
#[cfg(windows)]
pub type LibraryFile<'a> = std::os::windows::io::BorrowedHandle<'a>;

/// What a worker is held to, chosen by the operator. Travels to the worker as JSON.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Confinement {
    /// Whether the system is closed to it; without, only limits, user and environment are set.
    pub sandbox: bool,
    /// Bytes of private writable memory: heap, stacks of threads, and data of libraries.
    pub memory: u64,
    /// How many files it may have open, sockets and pipes included.
    pub open_files: u64,
    /// How long a file may become that it writes, in bytes. SIGXFSZ ends who ignores it.
    pub file_size: u64,
    /// How many threads the user of the worker may have, over all of its processes, where
    /// [`uid`](Self::uid) was taken; and the worker itself, where it has a control group.
    pub tasks: u64,
    /// The user to become, and the group of the same number. Only root can.
    pub uid: Option<u32>,
    /// Whether it may use IP sockets.
    pub network: bool,
    /// Files and folders that it may read, beside those of the system's libraries.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read, write, create and remove.
    pub write: Vec<PathBuf>,
    /// The whole of its environment.
    pub env: BTreeMap<String, String>,
}

/// What is in force, and what could not be had.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct InForce {
    /// The measures that hold, as in `landlock (ABI 7)`.
    pub measures: Vec<String>,
    /// What was asked for and does not hold, each with the reason in brackets.
    pub missing: Vec<String>,
}

impl InForce {
    /// Books `measure` by how it went.
    pub(super) fn note<E: Display>(&mut self, measure: impl Display, went: Result<(), E>) {
        match went {
            Ok(()) => self.measures.push(measure.to_string()),
            Err(reason) => self.missing.push(format!("{measure} ({reason})")),
        }
    }
}

/// One thing that a confined plugin must not be able to do, and what came of trying.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Attempt {
    /// What was tried, as in `read /etc/passwd`.
    pub name: String,
    /// Whether the confinement stood.
    pub held: bool,
    /// What the system said.
    pub detail: String,
}

/// Confines this process for good. To be called while it has one thread: several of the measures
/// are those of a thread, and only what it starts later inherits them.
///
/// `library` is the one file outside of the system's folders that it may still read. The caller
/// opens it before, and loads it as `/proc/self/fd/N` after: the folders that lead to it are closed
/// then. Its mode must let [`Confinement::uid`] read it.
///
/// Afterwards the caller has to check that its parent is still there: the wish to die with it was
/// renewed here, and does not look back.
#[cfg(target_os = "linux")]
pub fn confine(confinement: &Confinement, library: LibraryFile<'_>) -> InForce {
    super::linux::confine(confinement, library)
}

/// Confines nothing, and says so.
#[cfg(not(target_os = "linux"))]
pub fn confine(confinement: &Confinement, _: LibraryFile<'_>) -> InForce {
    let mut in_force = InForce::default();
    let mut absent = |measure: &str| in_force.note(measure, Err("only on Linux"));
    absent("environment");
    absent("limits");
    if let Some(uid) = confinement.uid {
        absent(&format!("uid {uid}"));
    }
    if confinement.sandbox {
        absent("sandbox");
    }
    in_force
}

/// Tries what a worker under `confinement` must not be able to do, from inside of it, and leaves
/// nothing behind where it can. What was granted is not tried. `daemon` is the process to protect.
#[cfg(target_os = "linux")]
pub fn prove(confinement: &Confinement, daemon: i32) -> Vec<Attempt> {
    super::linux::prove(confinement, daemon)
}

/// Tries nothing: nothing is confined.
#[cfg(not(target_os = "linux"))]
pub fn prove(_: &Confinement, _: i32) -> Vec<Attempt> {
    Vec::new()
}
