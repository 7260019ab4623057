-- Counts what makes a result that was known before another one or takes it away, so that whoever remembers results
-- knows when to ask anew.
CREATE TABLE result_state (
  id      INTEGER PRIMARY KEY,
  changes INTEGER NOT NULL
);
INSERT INTO result_state (id, changes) VALUES (1, 0);
