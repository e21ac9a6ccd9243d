//! Folders that outlast a power cut. Knows no payload.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::Path;

/// Makes a folder and those that it lies in, as far as they are missing; what is made is for this user alone, and
/// durable when this returns.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_folder(parent)?;
    match private().create(path) {
        // Somebody else has made it meanwhile, and perhaps not yet brought it to rest.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_folder(parent)
}

/// Brings the names in a folder to rest.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// No such thing can be asked for here: the system sees to it.
#[cfg(not(unix))]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

#[cfg(unix)]
fn private() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private() -> DirBuilder {
    DirBuilder::new()
}
