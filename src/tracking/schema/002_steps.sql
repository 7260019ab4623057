-- Where pipeline runs stand with their steps: what a resumed run goes on from.
CREATE TABLE steps (
  run      INTEGER NOT NULL,  -- the pipeline's
  name     TEXT NOT NULL,
  state    TEXT NOT NULL,
  attempt  INTEGER NOT NULL,
  step_run TEXT NOT NULL,     -- runs.uuid of the latest attempt, '' before the first
  key      TEXT NOT NULL,     -- '' when it has none
  reason   TEXT NOT NULL,
  PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- The run whose artifacts are the result of everything that a key stands for.
CREATE TABLE step_results (
  key     TEXT PRIMARY KEY,
  run     TEXT NOT NULL,      -- runs.uuid
  outputs TEXT NOT NULL       -- digest of its files
) WITHOUT ROWID;

-- What the key of a step was made of when it last ran, to say what has changed.
CREATE TABLE step_keys (
  pipeline    TEXT NOT NULL,
  step        TEXT NOT NULL,
  key         TEXT NOT NULL,
  ingredients TEXT NOT NULL,
  step_run    TEXT NOT NULL,
  PRIMARY KEY (pipeline, step)
) WITHOUT ROWID;
