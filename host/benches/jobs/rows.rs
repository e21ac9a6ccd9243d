//! The yardstick: rows of the size of a job, without a plugin and without a service, each of which waits for the disk.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::disk;

/// About what a job of a small image takes, in bytes.
const ROW: usize = 400;
/// A page, as a log is written.
const PAGE: usize = 4096;

/// A database with one table, and a file beside it.
pub(crate) struct Rows {
    connection: Connection,
    file: File,
    _folder: TempDir,
}

impl Rows {
    pub(crate) fn new() -> Self {
        let folder = disk::folder();
        let connection = Connection::open(folder.path().join("rows.db")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE rows (id INTEGER PRIMARY KEY, row BLOB NOT NULL);",
            )
            .unwrap();
        let file = File::create(folder.path().join("pages")).unwrap();
        Self {
            connection,
            file,
            _folder: folder,
        }
    }

    /// Rows a second, so many in each transaction.
    pub(crate) fn insert(&self, group: u32, turn: Duration) -> f64 {
        let mut insert = self
            .connection
            .prepare("INSERT INTO rows (row) VALUES (?)")
            .unwrap();
        let row = [7_u8; ROW];
        rate(turn, || {
            self.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            for _ in 0..group {
                insert.execute([&row[..]]).unwrap();
            }
            self.connection.execute_batch("COMMIT").unwrap();
            group
        })
    }

    /// Pages a second, each brought to the disk by itself.
    pub(crate) fn append(&self, turn: Duration) -> f64 {
        rate(turn, || {
            (&self.file).write_all(&[7; PAGE]).unwrap();
            self.file.sync_data().unwrap();
            1
        })
    }
}

fn rate(turn: Duration, mut step: impl FnMut() -> u32) -> f64 {
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < turn {
        count += step();
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}
