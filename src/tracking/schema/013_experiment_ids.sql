-- The highest id of an experiment that is gone: none is given twice, as something may lie in its folder, and
-- scripts may still name it.
CREATE TABLE experiment_ids (
  id   INTEGER PRIMARY KEY,
  gone INTEGER NOT NULL
);
INSERT INTO experiment_ids (id, gone) VALUES (1, 0);
