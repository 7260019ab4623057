-- Points of small calls that are not in their chunks yet, in the order they came: a row for each commit, in the
-- format of metric_journal.h.
CREATE TABLE metric_journal (
  id   INTEGER PRIMARY KEY,
  data BLOB NOT NULL
);
