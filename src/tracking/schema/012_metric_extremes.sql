-- The lowest and the highest number among a metric's points, NULL where all are NaN.
ALTER TABLE metrics ADD COLUMN lowest REAL;
ALTER TABLE metrics ADD COLUMN highest REAL;
-- Runs in their order, as metrics_by_value.
CREATE INDEX metrics_by_lowest ON metrics (key, lowest) WHERE tail IS NULL AND lowest IS NOT NULL;
CREATE INDEX metrics_by_highest ON metrics (key, highest) WHERE tail IS NULL AND highest IS NOT NULL;
