-- What pipeline runs were started with: what `tidemill resume` starts them with again.
CREATE TABLE run_requests (
  run     INTEGER PRIMARY KEY,
  request TEXT NOT NULL         -- JSON of whoever started it
);
