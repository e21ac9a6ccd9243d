//! A PostgreSQL server of this run, which brings to disk what it says is there.

use std::path::Path;

use crate::disk;
use crate::postgres::Postgres;

/// The server; nothing, aloud, where there can be none.
pub(crate) fn start() -> Option<Postgres> {
    if !is_installed() {
        eprintln!("SKIPPED: PostgreSQL is not installed here");
        return None;
    }
    if Postgres::is_skipped() {
        return None;
    }
    let folder = std::env::temp_dir();
    if disk::is_in_memory(&folder) {
        let folder = folder.display();
        eprintln!(
            "SKIPPED: PostgreSQL would be in memory, {folder} is: set TMPDIR to a folder on a disk"
        );
        return None;
    }
    Some(Postgres::start())
}

fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|folder| folder.join("initdb").exists());
    on_path || Path::new("/usr/lib/postgresql").exists()
}
