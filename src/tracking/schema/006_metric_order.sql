-- Runs in the order of a metric, without looking at all of them. Metrics that still grow stay out of the order,
-- so that logging a point does not move them about in it.
CREATE INDEX metrics_by_value ON metrics (key, is_nan, value) WHERE tail IS NULL;
CREATE INDEX metrics_growing ON metrics (key) WHERE tail IS NOT NULL;
