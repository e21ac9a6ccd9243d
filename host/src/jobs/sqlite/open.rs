//! Opens the file of a store: makes a new one wholly or not at all, and refuses one that is damaged.
//! Knows no job.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OpenFlags};
use thiserror::Error;
use tracing::warn;

use super::migrations;
use super::wal;
use crate::jobs::record::Time;

/// What every database of SQLite begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Tells our databases from those of others: `BHjb`.
const APPLICATION: i64 = 0x4248_6A62;
/// A larger database is not looked through: the start would take too long.
const MOST_CHECKED: u64 = 512 << 20;
/// How long somebody else may hold the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the job store cannot be opened.
#[derive(Debug, Error)]
pub enum SqliteError {
    /// The file cannot be made or read.
    #[error("the job store `{file}`: {error}")]
    Io {
        /// Which file.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// SQLite cannot use it.
    #[error("the job store `{file}`: {error}")]
    Sqlite {
        /// Which file.
        file: String,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// It is there, but what is in it cannot be trusted.
    #[error(
        "the job store `{file}` is damaged: {found}. Nothing of it was changed. Put back a copy of it, or move \
         it and the files beside it (`-wal`, `-shm`) away to begin without the jobs in it"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong with it.
        found: String,
    },
    /// A later version of this program has made it.
    #[error(
        "the job store `{file}` has version {version}, and this program knows none above {known}: use a later \
         program, or another state folder"
    )]
    Newer {
        /// Which file.
        file: String,
        /// Its version.
        version: i64,
        /// The latest that is known here.
        known: i64,
    },
}

/// The file of a store that is open.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
    pub(super) since: Time,
}

/// Opens the store in `folder`, or makes it, with so many connections to read it.
pub(super) fn open(folder: &Path, readers: usize) -> Result<Opened, SqliteError> {
    let place = Place(folder.join("jobs.db"));
    place.make_if_new(folder)?;
    place.check_head()?;
    wal::check(&place.beside("-wal")).map_err(|found| place.damaged(found))?;
    let writer = place.writer()?;
    let behind = behind(&writer, Utc::now()).map_err(|error| place.refused(error))?;
    if let Some(behind) = behind {
        warn!(
            behind_ms = behind.num_milliseconds(),
            "the clock of this machine is behind what the job store has seen: jobs wait longer than they should"
        );
    }
    let reader = |_| place.reader().map_err(|error| place.refused(error));
    let since = since(&writer).map_err(|error| place.refused(error))?;
    let since =
        since.ok_or_else(|| place.damaged("it does not say since when it is".to_owned()))?;
    Ok(Opened {
        readers: (0..readers).map(reader).collect::<Result<_, _>>()?,
        writer,
        since,
    })
}

struct Place(PathBuf);

impl Place {
    fn file(&self) -> String {
        self.0.display().to_string()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn io(&self, error: io::Error) -> SqliteError {
        let file = self.file();
        SqliteError::Io { file, error }
    }

    fn damaged(&self, found: String) -> SqliteError {
        let file = self.file();
        SqliteError::Damaged { file, found }
    }

    fn refused(&self, error: rusqlite::Error) -> SqliteError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let damaged = [DatabaseCorrupt, NotADatabase];
        match error.sqlite_error_code() {
            Some(code) if damaged.contains(&code) => self.damaged(error.to_string()),
            _ => SqliteError::Sqlite {
                file: self.file(),
                error,
            },
        }
    }

    /// A file that is there was complete from the first: it is written under another name. So an empty one is no new
    /// store, but one that has lost everything.
    fn make_if_new(&self, folder: &Path) -> Result<(), SqliteError> {
        if self.0.try_exists().map_err(|error| self.io(error))? {
            return Ok(());
        }
        let log = self.beside("-wal");
        if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            let found = format!("it is gone, while its log `{}` is there", log.display());
            return Err(self.damaged(found));
        }
        self.remove_half_made();
        let new = tempfile::Builder::new()
            .prefix("jobs.db.new")
            .rand_bytes(0)
            .tempfile_in(folder)
            .map_err(|error| self.io(error))?;
        make(new.path()).map_err(|error| self.refused(error))?;
        let kept = new.as_file().sync_all().and_then(|()| {
            new.persist_noclobber(&self.0)?;
            File::open(folder)?.sync_all()
        });
        kept.map_err(|error| self.io(error))
    }

    fn remove_half_made(&self) {
        for ending in [".new", ".new-wal", ".new-shm", ".new-journal"] {
            // Mostly there is none; one that stays is met again when it is to be made.
            let _ = fs::remove_file(self.beside(ending));
        }
    }

    fn check_head(&self) -> Result<(), SqliteError> {
        let mut head = Vec::new();
        let file = File::open(&self.0).map_err(|error| self.io(error))?;
        let most = u64::try_from(MAGIC.len()).expect("it is short");
        file.take(most)
            .read_to_end(&mut head)
            .map_err(|error| self.io(error))?;
        if head == MAGIC {
            return Ok(());
        }
        Err(self.damaged(match head.as_slice() {
            [] => "it is empty".to_owned(),
            head => format!("it begins with `{}`", head.escape_ascii()),
        }))
    }

    fn writer(&self) -> Result<Connection, SqliteError> {
        let refused = |error| self.refused(error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let writer = Connection::open_with_flags(&self.0, flags).map_err(refused)?;
        prepare(&writer).map_err(refused)?;
        self.check_version(&writer)?;
        self.check_pages(&writer)?;
        let mode: String = writer
            .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
            .map_err(refused)?;
        if mode != "wal" {
            let error = io::Error::other(format!("it keeps no log, but `{mode}`"));
            return Err(self.io(error));
        }
        migrations::carry_out(&writer, migrations::ALL).map_err(refused)?;
        if let Err(error) = catch_up(&writer, Utc::now().timestamp_millis()) {
            warn!(%error, "the clock was set back: jobs wait until it shows again what it did");
        }
        Ok(writer)
    }

    fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.0, flags)?;
        reader.busy_timeout(PATIENCE)?;
        reader.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
        Ok(reader)
    }

    fn check_version(&self, connection: &Connection) -> Result<(), SqliteError> {
        let refused = |error| self.refused(error);
        let ours: i64 = connection
            .query_row("PRAGMA application_id", (), |row| row.get(0))
            .map_err(refused)?;
        let version = migrations::version(connection).map_err(refused)?;
        if ours != APPLICATION || version < 1 {
            return Err(self.damaged("it is a database, but none of jobs".to_owned()));
        }
        let known = migrations::newest();
        if version > known {
            let file = self.file();
            return Err(SqliteError::Newer {
                file,
                version,
                known,
            });
        }
        Ok(())
    }

    fn check_pages(&self, connection: &Connection) -> Result<(), SqliteError> {
        let size = fs::metadata(&self.0).map_err(|error| self.io(error))?.len();
        if size > MOST_CHECKED {
            warn!(
                bytes = size,
                "the job store is too large to be looked through at the start"
            );
            return Ok(());
        }
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
            .map_err(|error| self.refused(error))?;
        match found.as_str() {
            "ok" => Ok(()),
            found => Err(self.damaged(found.replace('\n', " "))),
        }
    }
}

fn make(file: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    connection.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA synchronous = FULL;"
    ))?;
    migrations::carry_out(&connection, migrations::ALL)?;
    let now = Utc::now().timestamp_millis();
    connection.execute("INSERT INTO meta (key, value) VALUES ('since', ?)", [now])?;
    connection.close().map_err(|(_, error)| error)
}

fn prepare(writer: &Connection) -> rusqlite::Result<()> {
    writer.busy_timeout(PATIENCE)?;
    // Checkpoints are the writer's own, for SQLite's would hide it when fsync fails.
    writer.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
         PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -8192;
         PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = OFF;
         PRAGMA trusted_schema = OFF;",
    )
}

/// What was due by a clock that has been set back since is due now, and does not wait for its time once more.
fn catch_up(writer: &Connection, now: i64) -> rusqlite::Result<()> {
    const SEEN: &str = "SELECT max(ifnull((SELECT max(at) FROM hosts), 0),
        ifnull((SELECT created_at FROM jobs ORDER BY id DESC LIMIT 1), 0))";
    const JOBS: &str =
        "UPDATE jobs SET not_before = ?1 WHERE status = 0 AND not_before > ?1 AND not_before <= ?2";
    const CALLBACKS: &str = "UPDATE jobs SET callback_due = ?1
        WHERE callback_due IS NOT NULL AND callback_due > ?1 AND callback_due <= ?2";
    let seen: i64 = writer.query_row(SEEN, (), |row| row.get(0))?;
    if now < seen {
        writer.execute(JOBS, [now, seen])?;
        writer.execute(CALLBACKS, [now, seen])?;
    }
    Ok(())
}

fn since(connection: &Connection) -> rusqlite::Result<Option<Time>> {
    let since = "SELECT value FROM meta WHERE key = 'since'";
    let mut statement = connection.prepare(since)?;
    let mut rows = statement.query(())?;
    let since: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
    Ok(since.and_then(DateTime::from_timestamp_millis))
}

/// How far a clock is behind the latest time at which something has happened here.
fn behind(connection: &Connection, now: Time) -> rusqlite::Result<Option<TimeDelta>> {
    // Each from the end of an index, and the few hosts.
    let latest = "SELECT max(at) FROM (
        SELECT max(at) AS at FROM hosts
        UNION ALL SELECT max(finished_at) FROM jobs WHERE status >= 2 AND kind = 0
        UNION ALL SELECT max(finished_at) FROM jobs WHERE status >= 2 AND kind = 1
        UNION ALL SELECT value FROM meta WHERE key = 'since')";
    let latest: Option<i64> = connection.query_row(latest, (), |row| row.get(0))?;
    let latest = latest.and_then(DateTime::from_timestamp_millis);
    Ok(latest
        .map(|latest| latest - now)
        .filter(|behind| *behind > TimeDelta::zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    #[test]
    fn a_clock_that_is_behind_is_seen() {
        let connection = Connection::open_in_memory().unwrap();
        migrations::carry_out(&connection, migrations::ALL).unwrap();
        assert_eq!(behind(&connection, at(0)).unwrap(), None);
        let since = "INSERT INTO meta (key, value) VALUES ('since', 1000)";
        connection.execute(since, ()).unwrap();
        assert_eq!(behind(&connection, at(1000)).unwrap(), None);
        let second = TimeDelta::seconds(1);
        assert_eq!(behind(&connection, at(0)).unwrap(), Some(second));
        let seen = "INSERT INTO hosts (id, plugins, at) VALUES (x'00', '[]', 5000)";
        connection.execute(seen, ()).unwrap();
        assert_eq!(behind(&connection, at(4000)).unwrap(), Some(second));
    }
}
