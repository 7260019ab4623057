-- What the full chunks of long metrics hold, in the format of chunk_summary.h, sixteen to a row: windows and
-- outlines are read without touching the points.
CREATE TABLE metric_summaries (
  run  INTEGER NOT NULL,
  key  INTEGER NOT NULL,
  part INTEGER NOT NULL,  -- from 0 on
  data BLOB NOT NULL,
  PRIMARY KEY (run, key, part)
) WITHOUT ROWID;
