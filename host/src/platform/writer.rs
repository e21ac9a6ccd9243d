//! Whether somebody is still writing to a file. Never waits for him.

use std::fs::File;

/// Whether anybody, in any process, has `file` open for writing; nothing where the system cannot tell. The file
/// must be open for reading only.
pub fn has_writer(file: &File) -> Option<bool> {
    #[cfg(target_os = "linux")]
    return super::linux::has_writer(file);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}
