//! Opens shared libraries, for ever: none is unloaded, because thread-local destructors, pthread
//! keys and the layout checker keep pointers into it.

use std::error::Error;
use std::path::Path;

use bulkhead_plugin::abi::{HEADER_SYMBOL, LoadError, Module};
use thiserror::Error;

/// A library that is open until the process ends.
#[derive(Clone, Copy)]
pub struct Library {
    /// What it offers.
    pub module: Module,
    /// The address that its file's virtual address 0 has here, where the system can tell.
    pub base: Option<u64>,
}

/// Why a library cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The system's loader refused it, in its own words.
    #[error("{0}")]
    Refused(String),
    /// It does not export what a plugin exports.
    #[error("it exports no root module")]
    NoModule,
    /// Its module does not fit this host.
    #[error(transparent)]
    Misfit(LoadError),
}

impl Library {
    /// Opens the library at `path`. This runs its constructors and those of its dependencies.
    ///
    /// # Errors
    /// When the system's loader refuses it, or it is no plugin for this host.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let library = open(path).map_err(|error| OpenError::Refused(words(&error)))?;
        // SAFETY: the symbol is a static, of which only the address is taken.
        let header = unsafe { library.get::<*const ()>(HEADER_SYMBOL.as_bytes()) };
        let header = header.map(|symbol| *symbol);
        std::mem::forget(library);
        let header = header.map_err(|_| OpenError::NoModule)?;
        // SAFETY: the library was just forgotten, so it stays open; that it is a plugin was checked
        // before (note, header and its version), and more than its word nobody has in one process.
        let module = unsafe { Module::load(header) }.map_err(OpenError::Misfit)?;
        Ok(Self {
            module,
            base: base(header),
        })
    }
}

/// With all symbols bound at once, so that a missing one is told now and not in a call.
#[cfg(unix)]
fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: running foreign constructors is what the operator asked for with this lane.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(windows)]
fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: running foreign constructors is what the operator asked for with this lane.
    unsafe { libloading::Library::new(path) }
}

#[cfg(unix)]
fn base(address: *const ()) -> Option<u64> {
    // SAFETY: all zeros is a `Dl_info`, and `dladdr` fills it for any address it knows.
    let (found, info) = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        (libc::dladdr(address.cast(), &raw mut info), info)
    };
    (found != 0).then_some(info.dli_fbase as u64)
}

#[cfg(windows)]
fn base(_: *const ()) -> Option<u64> {
    None
}

/// The loader's own words are in the source of libloading's error.
fn words(error: &libloading::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
