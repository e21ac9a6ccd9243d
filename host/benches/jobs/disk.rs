//! Folders on a real disk: what is measured is mostly the wait for it.

use std::path::Path;

use tempfile::TempDir;

/// What the system calls a file system in memory.
#[cfg(target_os = "linux")]
const TMPFS: u64 = 0x0102_1994;

/// A folder under `target/`, gone with its drop.
pub(crate) fn folder() -> TempDir {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    assert!(
        !is_in_memory(target),
        "{} is in memory: nothing would be measured",
        target.display()
    );
    tempfile::tempdir_in(target).unwrap()
}

/// Whether what is in this folder is never brought to a disk.
#[cfg(target_os = "linux")]
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    let system = rustix::fs::statfs(folder).unwrap();
    u64::try_from(system.f_type).is_ok_and(|kind| kind == TMPFS)
}

/// Nobody can tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_in_memory(_folder: &Path) -> bool {
    false
}
