-- The model registry. A version's number comes from its model's counter, so that the number of a deleted version
-- is never given again.
CREATE TABLE registered_models (
  id           INTEGER PRIMARY KEY,
  name         TEXT NOT NULL UNIQUE,
  description  TEXT NOT NULL,
  created      INTEGER NOT NULL,  -- ms since 1970
  updated      INTEGER NOT NULL,
  last_version INTEGER NOT NULL
);

CREATE TABLE registered_model_tags (
  model INTEGER NOT NULL,
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (model, key)
) WITHOUT ROWID;

CREATE TABLE registered_model_aliases (
  model   INTEGER NOT NULL,
  alias   TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (model, alias)
) WITHOUT ROWID;

CREATE TABLE model_versions (
  id               INTEGER PRIMARY KEY,
  model            INTEGER NOT NULL,
  version          INTEGER NOT NULL,
  stage            INTEGER NOT NULL,  -- 0 None, 1 Staging, 2 Production, 3 Archived
  description      TEXT,
  source           TEXT NOT NULL,
  storage_location TEXT NOT NULL,
  run_id           TEXT NOT NULL,     -- '': none
  run_link         TEXT NOT NULL,
  model_id         TEXT NOT NULL,     -- the logged model it was made from; '': none
  created          INTEGER NOT NULL,
  updated          INTEGER NOT NULL,
  UNIQUE (model, version)
);
-- The newest version of a stage.
CREATE INDEX model_versions_by_stage ON model_versions (model, stage, version);
CREATE INDEX model_versions_by_run ON model_versions (run_id);
-- The default order of a search.
CREATE INDEX model_versions_by_update ON model_versions (updated DESC);

CREATE TABLE model_version_tags (
  version INTEGER NOT NULL,  -- model_versions.id
  key     TEXT NOT NULL,
  value   TEXT NOT NULL,
  PRIMARY KEY (version, key)
) WITHOUT ROWID;
