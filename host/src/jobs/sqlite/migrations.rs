//! The shape of the database: one SQL text for each version, each on top of the one before. What has been shipped
//! is never changed again. Knows no job.

use rusqlite::Connection;

/// The texts: the first makes version 1.
pub(super) const ALL: &[&str] = &[FIRST];

// What may be large stands last in a row: what lists read is never behind it. Indexes are partial, so that a job
// costs its writer only those of the state that it is in.
const FIRST: &str = "
CREATE TABLE jobs (
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
  owner TEXT,
  request_id TEXT NOT NULL,
  plugin TEXT NOT NULL,
  mime_type TEXT NOT NULL,
  image_sha256 BLOB CHECK (length(image_sha256) = 32),
  image_bytes INTEGER NOT NULL,
  priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2),
  status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 4),
  attempt INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  host BLOB CHECK (length(host) = 16),
  leased_until INTEGER,
  not_before INTEGER NOT NULL,
  deadline INTEGER,
  cancel_asked INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER CHECK ((status >= 2) = (finished_at IS NOT NULL)),
  generation TEXT,
  progress REAL NOT NULL,
  callback_url TEXT,
  callback_attempts INTEGER NOT NULL,
  callback_due INTEGER,
  callback_delivered_at INTEGER,
  callback_error TEXT,
  idempotency_key TEXT,
  idempotency_digest BLOB,
  output TEXT,
  error TEXT,
  internal TEXT,
  result BLOB,
  options TEXT,
  log TEXT
) STRICT;

CREATE INDEX jobs_waiting ON jobs (plugin, priority, not_before, id) WHERE status = 0;
CREATE INDEX jobs_pending ON jobs (id, plugin, owner) WHERE status = 0;
CREATE INDEX jobs_running ON jobs (leased_until) WHERE status = 1;
CREATE INDEX jobs_ended_by_kind ON jobs (kind, status, id, owner) WHERE status >= 2;
CREATE INDEX jobs_ended_by_plugin ON jobs (plugin, kind, status, id, owner) WHERE status >= 2;
CREATE INDEX jobs_ended_at ON jobs (kind, finished_at, id, status) WHERE status >= 2;
CREATE INDEX jobs_callback ON jobs (callback_due) WHERE callback_due IS NOT NULL;
CREATE UNIQUE INDEX jobs_idempotency ON jobs (idempotency_key, ifnull(owner, x''))
  WHERE idempotency_key IS NOT NULL;

CREATE TABLE uses (
  sha256 BLOB NOT NULL,
  job BLOB NOT NULL,
  PRIMARY KEY (sha256, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE data (
  sha256 BLOB NOT NULL PRIMARY KEY,
  put_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE data_bytes (
  sha256 BLOB NOT NULL UNIQUE,
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE hosts (
  id BLOB NOT NULL PRIMARY KEY,
  plugins TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The version that this program writes.
pub(super) fn newest() -> i64 {
    count(ALL)
}

/// The version of a database.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", (), |row| row.get(0))
}

/// Brings a database from its own version to that of the last of `texts`; each step wholly or not at all.
pub(super) fn carry_out(connection: &Connection, texts: &[&str]) -> rusqlite::Result<()> {
    let from = version(connection)?;
    for (text, number) in texts
        .iter()
        .zip(1_i64..)
        .filter(|(_, number)| *number > from)
    {
        // A step that fails leaves its transaction open: it ends with the connection, undone.
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {text}; PRAGMA user_version = {number}; COMMIT;"
        ))?;
    }
    Ok(())
}

fn count(texts: &[&str]) -> i64 {
    i64::try_from(texts.len()).expect("there are few versions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap();
        let names = statement.query_map((), |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }

    #[test]
    fn each_version_comes_on_top_of_the_one_before() {
        let connection = Connection::open_in_memory().unwrap();
        carry_out(&connection, &["CREATE TABLE a (x)"]).unwrap();
        assert_eq!(version(&connection).unwrap(), 1);
        let texts = &["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
        carry_out(&connection, texts).unwrap();
        carry_out(&connection, texts).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        assert_eq!(tables(&connection), ["a", "b"]);
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("any.db");
        let connection = Connection::open(&file).unwrap();
        let texts = &["CREATE TABLE a (x)", "CREATE TABLE b (x); nonsense"];
        carry_out(&connection, texts).unwrap_err();
        drop(connection);
        let connection = Connection::open(&file).unwrap();
        assert_eq!(version(&connection).unwrap(), 1);
        assert_eq!(tables(&connection), ["a"]);
    }
}
