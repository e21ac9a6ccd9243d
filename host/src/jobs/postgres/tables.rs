//! The tables: one SQL text for each version, each on top of the one before. What has been shipped is never changed
//! again. Knows no job.

use deadpool_postgres::Client;

use super::connect::ConnectError;
use super::failure::{Done, text};
use crate::jobs::store::StoreError;

/// The texts: the first makes version 1.
const ALL: &[&str] = &[FIRST];

/// What hosts lock that look after the tables, so that one does and the others wait: "bulkhead" in bytes.
const LOCK: i64 = i64::from_be_bytes(*b"bulkhead");

// Moments and lengths of time are whole milliseconds. The claims' index is in the order of claims; all but those of
// lists are partial, so that a job costs only those of the state that it is in. An owner that is not there counts as
// one that is equal to itself, for idempotency.
const FIRST: &str = "
CREATE TABLE jobs (
  id UUID PRIMARY KEY,
  kind SMALLINT NOT NULL CHECK (kind IN (0, 1)),
  owner TEXT,
  request_id TEXT NOT NULL,
  plugin TEXT COLLATE \"C\" NOT NULL,
  mime_type TEXT NOT NULL,
  image_sha256 BYTEA CHECK (length(image_sha256) = 32),
  image_bytes BIGINT NOT NULL,
  priority SMALLINT NOT NULL CHECK (priority BETWEEN 0 AND 2),
  status SMALLINT NOT NULL CHECK (status BETWEEN 0 AND 4),
  attempt BIGINT NOT NULL,
  max_attempts BIGINT NOT NULL,
  fence BIGINT NOT NULL,
  host UUID,
  leased_until BIGINT,
  not_before BIGINT NOT NULL,
  deadline BIGINT,
  cancel_asked BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT CHECK ((status >= 2) = (finished_at IS NOT NULL)),
  generation TEXT,
  progress REAL NOT NULL,
  callback_url TEXT,
  callback_attempts BIGINT NOT NULL,
  callback_due BIGINT,
  callback_delivered_at BIGINT,
  callback_error TEXT,
  output TEXT,
  error TEXT,
  internal TEXT,
  result BYTEA,
  options TEXT,
  log TEXT,
  idempotency_key TEXT,
  idempotency_digest BYTEA CHECK (length(idempotency_digest) = 32)
);

CREATE INDEX jobs_waiting ON jobs (plugin, priority, not_before, id) WHERE status = 0;
CREATE INDEX jobs_running ON jobs (leased_until) WHERE status = 1;
CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_plugin ON jobs (plugin, id);
CREATE INDEX jobs_ended ON jobs (kind, finished_at, id) WHERE status >= 2;
CREATE INDEX jobs_callback ON jobs (callback_due, id) WHERE callback_due IS NOT NULL;
CREATE UNIQUE INDEX jobs_idempotency ON jobs (idempotency_key, (owner IS NULL), COALESCE(owner, ''))
  WHERE idempotency_key IS NOT NULL;

CREATE TABLE uses (
  sha256 BYTEA NOT NULL,
  job UUID NOT NULL,
  PRIMARY KEY (sha256, job)
);
CREATE INDEX uses_by_job ON uses (job);

CREATE TABLE data (
  sha256 BYTEA PRIMARY KEY CHECK (length(sha256) = 32),
  bytes BYTEA NOT NULL,
  put_at BIGINT NOT NULL
);
-- Pictures are compressed already.
ALTER TABLE data ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX data_put_at ON data (put_at);

CREATE TABLE hosts (
  id UUID PRIMARY KEY,
  plugins TEXT[] NOT NULL,
  at BIGINT NOT NULL
);

CREATE TABLE meta (
  since BIGINT NOT NULL
);
INSERT INTO meta (since) VALUES (floor(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT);
";

/// Brings the tables to the version that we know, and gives since when they keep jobs. Many may try at once.
pub(super) async fn bring_up(client: &mut Client) -> Result<i64, ConnectError> {
    bring_to(client, ALL).await?;
    let since = client.query_one("SELECT since FROM meta", &[]).await;
    let since = since.and_then(|row| row.try_get(0));
    since.map_err(|error| ConnectError::Tables(text(&error)))
}

async fn bring_to(client: &mut Client, texts: &[&str]) -> Result<(), ConnectError> {
    let known = i64::try_from(texts.len()).expect("there are few versions");
    match carry_out(client, texts).await.map_err(StoreError::from) {
        Ok(found) if found <= known => Ok(()),
        Ok(found) => Err(ConnectError::Newer { found, known }),
        Err(StoreError::Unreachable(reason)) => Err(ConnectError::Unreachable(reason)),
        Err(other) => Err(ConnectError::Tables(other.to_string())),
    }
}

/// The version that was there, or has been made; all steps of one host or none.
async fn carry_out(client: &mut Client, texts: &[&str]) -> Done<i64> {
    let transaction = client.transaction().await?;
    // Those who wait for the lock wait for as long as the tables take.
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0")
        .await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS bulkhead_schema (version BIGINT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)",
        )
        .await?;
    let found = "SELECT COALESCE(max(version), 0) FROM bulkhead_schema";
    let mut version: i64 = transaction.query_one(found, &[]).await?.try_get(0)?;
    for (text, number) in texts.iter().zip(1_i64..) {
        if number > version {
            transaction.batch_execute(text).await?;
            let note = "INSERT INTO bulkhead_schema VALUES ($1, clock_timestamp())";
            transaction.execute(note, &[&number]).await?;
            version = number;
        }
    }
    transaction.commit().await?;
    Ok(version)
}
