-- A store as version 1 has made it, with one job in it. Never changed again.
PRAGMA application_id = 1112042082;
PRAGMA user_version = 1;

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

INSERT INTO meta (key, value) VALUES ('since', 1700000000000);
INSERT INTO jobs (
  id, kind, request_id, plugin, mime_type, image_sha256, image_bytes, priority, status, attempt, max_attempts, fence,
  not_before, cancel_asked, created_at, started_at, finished_at, progress, callback_attempts, output, result
) VALUES (
  x'01890a5dac96774bbcceb302099a8057', 0, 'request', 'any', 'image/png',
  x'1111111111111111111111111111111111111111111111111111111111111111', 3, 1, 2, 1, 3, 1,
  1700000000000, 0, 1700000000000, 1700000000000, 1700000000001, 1.0, 0, '{}', x'7b7d'
);
INSERT INTO uses (sha256, job) VALUES (
  x'1111111111111111111111111111111111111111111111111111111111111111', x'01890a5dac96774bbcceb302099a8057'
);
