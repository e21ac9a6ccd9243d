//! Opens a staged copy: the first time that foreign code runs. Used by whoever runs plugins in its
//! own process.

use std::path::{Path, PathBuf};

use bulkhead_plugin::Manifest as FullManifest;
use bulkhead_plugin::abi::{LoadError, Module};

use super::rejection::{Rejection, printable};
use super::staging::Staged;
use super::symbolize::{Named, name_crash, symbolize};
use crate::platform::{Library, OpenError, release_memory};

/// A plugin's library, open until the process ends.
pub struct Opened {
    /// What it offers.
    pub module: Module,
    /// What it says of itself, schemas included.
    pub manifest: FullManifest,
    /// Names for the addresses of its backtraces.
    pub symbols: Symbols,
}

/// Where the names of a library's addresses are.
#[derive(Clone, Debug)]
pub struct Symbols {
    path: PathBuf,
    base: Option<u64>,
}

impl Symbols {
    /// Those of the library at `path`, whose address 0 is at `base` in the process that it runs in.
    pub fn new(path: PathBuf, base: Option<u64>) -> Self {
        Self { path, base }
    }

    /// A backtrace's addresses as text, one frame a line.
    pub fn name(&self, addresses: &[u64]) -> String {
        giving_back(|| symbolize(&self.path, self.base, addresses))
    }

    /// Names the instruction at which a process died, and its callers: what a crash report has.
    pub fn name_crash(&self, ip: u64, backtrace: &[u64]) -> Named {
        giving_back(|| name_crash(&self.path, self.base, ip, backtrace))
    }
}

/// Debug information is read whole, on whichever thread is free: an allocator with a pool for each would keep it as often.
fn giving_back<T>(name: impl FnOnce() -> T) -> T {
    let named = name();
    release_memory();
    named
}

/// A library that was opened by whoever serves it, which need not be the host.
pub struct Unchecked {
    /// What it offers.
    pub module: Module,
    /// What it says of itself, a JSON text.
    pub manifest: String,
    /// The address that it has.
    pub base: Option<u64>,
}

/// Opens a staged copy and reads its whole manifest.
///
/// # Errors
/// When the system's loader refuses it, its types differ from this host's, or what it says when it
/// runs is not what its file says.
pub fn open(staged: &Staged) -> Result<Opened, Rejection> {
    let Unchecked {
        module,
        manifest,
        base,
    } = open_at(&staged.path)?;
    Ok(Opened {
        module,
        manifest: described(staged, &manifest)?,
        symbols: Symbols::new(staged.path.clone(), base),
    })
}

/// Opens the library at `path`, and asks it for its manifest.
///
/// # Errors
/// When the system's loader refuses it, or its types differ from this host's.
pub fn open_at(path: &Path) -> Result<Unchecked, Rejection> {
    let library = Library::open(path).map_err(|error| refused(error, path))?;
    let manifest = library.module.manifest();
    Ok(Unchecked {
        module: library.module,
        manifest: manifest.map_err(|failure| detail(failure.message))?,
        base: library.base,
    })
}

/// The manifest that a staged library has given when it ran.
///
/// # Errors
/// When it is none, or not what the library's file says.
pub fn described(staged: &Staged, manifest: &str) -> Result<FullManifest, Rejection> {
    let manifest: FullManifest =
        serde_json::from_str(manifest).map_err(|error| detail(format!("its manifest: {error}")))?;
    check_same(staged, &manifest)?;
    Ok(manifest)
}

/// The note decided under which name and for which types it is served.
fn check_same(staged: &Staged, manifest: &FullManifest) -> Result<(), Rejection> {
    let note = &staged.manifest;
    let same = manifest.name == note.name.as_str()
        && manifest.version == note.version.to_string()
        && manifest.accepts == note.accepts.patterns()
        && manifest.thread_safe == note.thread_safe;
    if same {
        return Ok(());
    }
    let (name, version) = (&manifest.name, &manifest.version);
    Err(detail(format!(
        "its file says that it is `{}` {}, its code that it is `{name}` {version}",
        note.name, note.version
    )))
}

fn refused(error: OpenError, path: &Path) -> Rejection {
    match error {
        OpenError::Refused(words) => loader_refused(&words, path),
        OpenError::NoModule => detail("it exports no root module".to_owned()),
        OpenError::Misfit(LoadError::Layout(found)) => Rejection::AbiLayout {
            detail: printable(&found),
        },
        OpenError::Misfit(LoadError::Header(found)) => Rejection::AbiVersion {
            found: printable(&found),
            expected: "abi_stable 0.11".to_owned(),
        },
        OpenError::Misfit(LoadError::Constructor(found)) => detail(found),
    }
}

/// glibc and musl name a missing library before these words.
fn loader_refused(words: &str, path: &Path) -> Rejection {
    let own = format!("{}: ", path.display());
    let words = words.replace(&own, "");
    let missing = ": cannot open shared object file";
    match words.split_once(missing) {
        Some((library, _)) if !library.contains('/') => Rejection::MissingDependency {
            library: printable(library),
        },
        _ => detail(words),
    }
}

fn detail(detail: String) -> Rejection {
    Rejection::LoadFailed {
        detail: printable(&detail),
    }
}
