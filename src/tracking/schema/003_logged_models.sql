-- Models that MLflow 3 clients log, with the values that were measured of them.
CREATE TABLE logged_models (
  id           INTEGER PRIMARY KEY,
  model_id     TEXT NOT NULL UNIQUE,  -- "m-" and 32 digits
  experiment   INTEGER NOT NULL,
  lifecycle    INTEGER NOT NULL,      -- 0 active, 1 deleted
  status       INTEGER NOT NULL,      -- 1 pending, 2 ready, 3 upload failed
  created      INTEGER NOT NULL,      -- ms since 1970
  updated      INTEGER NOT NULL,
  name         TEXT NOT NULL,
  model_type   TEXT NOT NULL,
  source_run   TEXT NOT NULL,         -- runs.uuid as the client gave it; '': none
  artifact_uri TEXT NOT NULL
);
-- The default order of a search.
CREATE INDEX logged_models_by_creation ON logged_models (experiment, lifecycle, created DESC, model_id);
CREATE INDEX logged_models_by_run ON logged_models (source_run);

CREATE TABLE logged_model_params (
  model INTEGER NOT NULL,
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (model, key)
) WITHOUT ROWID;

CREATE TABLE logged_model_tags (
  model INTEGER NOT NULL,
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (model, key)
) WITHOUT ROWID;

CREATE TABLE logged_model_metrics (
  model          INTEGER NOT NULL,
  key            INTEGER NOT NULL,  -- keys.id
  timestamp      INTEGER NOT NULL,
  step           INTEGER NOT NULL,
  run            INTEGER NOT NULL,
  dataset_name   TEXT NOT NULL,     -- '': of no data set
  dataset_digest TEXT NOT NULL,
  value          REAL NOT NULL,     -- 0 for NaN
  is_nan         INTEGER NOT NULL,
  PRIMARY KEY (model, key, timestamp, step, run, dataset_name, dataset_digest)
) WITHOUT ROWID;

-- What runs read and made.
CREATE TABLE datasets (
  id          INTEGER PRIMARY KEY,
  experiment  INTEGER NOT NULL,
  name        TEXT NOT NULL,
  digest      TEXT NOT NULL,
  source_type TEXT NOT NULL,
  source      TEXT NOT NULL,
  schema      TEXT,
  profile     TEXT,
  UNIQUE (experiment, name, digest)
);

CREATE TABLE run_datasets (
  run     INTEGER NOT NULL,
  dataset INTEGER NOT NULL,
  PRIMARY KEY (run, dataset)
) WITHOUT ROWID;
CREATE INDEX run_datasets_by_dataset ON run_datasets (dataset, run);

CREATE TABLE run_dataset_tags (
  run     INTEGER NOT NULL,
  dataset INTEGER NOT NULL,
  key     TEXT NOT NULL,
  value   TEXT NOT NULL,
  PRIMARY KEY (run, dataset, key)
) WITHOUT ROWID;

CREATE TABLE run_models (
  run    INTEGER NOT NULL,
  role   INTEGER NOT NULL,  -- 0 input, 1 output
  step   INTEGER NOT NULL,  -- 0 for inputs
  model  TEXT NOT NULL,     -- logged_models.model_id
  PRIMARY KEY (run, role, step, model)
) WITHOUT ROWID;
