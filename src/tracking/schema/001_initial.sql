-- Runs are rows keyed by small integers; the 32-digit id of the outside world is only in runs.uuid.
CREATE TABLE experiments (
  id                INTEGER PRIMARY KEY,
  name              TEXT NOT NULL UNIQUE,
  artifact_location TEXT NOT NULL,
  lifecycle         INTEGER NOT NULL,  -- 0 active, 1 deleted
  created           INTEGER NOT NULL,  -- ms since 1970
  updated           INTEGER NOT NULL
);

CREATE TABLE experiment_tags (
  experiment INTEGER NOT NULL,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  PRIMARY KEY (experiment, key)
) WITHOUT ROWID;

-- Names of metrics, parameters and run tags, stored once.
CREATE TABLE keys (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

CREATE TABLE runs (
  id           INTEGER PRIMARY KEY,
  uuid         TEXT NOT NULL UNIQUE,
  experiment   INTEGER NOT NULL,
  lifecycle    INTEGER NOT NULL,
  status       INTEGER NOT NULL,
  start_time   INTEGER NOT NULL,
  end_time     INTEGER,
  name         TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  artifact_uri TEXT NOT NULL
);
-- The default order of a search: no sorting, the limit ends the walk.
CREATE INDEX runs_by_start ON runs (experiment, lifecycle, start_time DESC, uuid);
CREATE INDEX runs_open ON runs (id) WHERE status = 1;

CREATE TABLE params (
  run   INTEGER NOT NULL,
  key   INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE TABLE tags (
  run   INTEGER NOT NULL,
  key   INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

-- The latest point of every metric (by step, timestamp, value), and where its open chunk is.
CREATE TABLE metrics (
  run       INTEGER NOT NULL,
  key       INTEGER NOT NULL,
  step      INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  value     REAL NOT NULL,     -- 0 for NaN
  is_nan    INTEGER NOT NULL,
  tail      INTEGER,           -- metric_tails.id, NULL: none open
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

-- Points in the format of chunk.h: one growing chunk per metric, and full ones that never change.
CREATE TABLE metric_tails (
  id   INTEGER PRIMARY KEY,
  data BLOB NOT NULL
);
CREATE TABLE metric_chunks (
  id   INTEGER PRIMARY KEY,
  run  INTEGER NOT NULL,
  key  INTEGER NOT NULL,
  data BLOB NOT NULL
);
CREATE INDEX metric_chunks_by_metric ON metric_chunks (run, key);

CREATE TABLE artifacts (
  run    INTEGER NOT NULL,
  path   TEXT NOT NULL,
  size   INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (run, path)
) WITHOUT ROWID;
