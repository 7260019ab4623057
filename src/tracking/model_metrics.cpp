#include "tracking/model_metrics.h"

#include <cmath>

namespace tidemill::tracking {

static Result<int64_t> model_row(db::Connection& connection, std::string_view model_id) {
  db::Statement row = TRY(connection.prepare("SELECT id FROM logged_models WHERE model_id = ?"));
  if (!TRY(row.bind(model_id).step())) return tl::unexpected<Error>(no_logged_model(model_id));
  return row.integer(0);
}

Result<> put_model_metrics(db::Connection& connection, KeyIds& keys, int64_t run, const Batch& batch) {
  for (const MetricOfModel& link : batch.of_models) {
    const Metric& metric = batch.metrics[link.metric];
    bool nan = std::isnan(metric.value);
    TRY(connection.run(
        "INSERT INTO logged_model_metrics (model, key, timestamp, step, run, dataset_name, "
        "dataset_digest, value, is_nan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, "
        "key, timestamp, step, run, dataset_name, dataset_digest) DO UPDATE SET "
        "value = excluded.value, is_nan = excluded.is_nan",
        TRY(model_row(connection, link.model_id)), TRY(keys.id(connection, metric.key)), metric.timestamp,
        metric.step, run, link.dataset_name, link.dataset_digest, nan ? 0 : finite(metric.value), nan));
  }
  return {};
}

}  // namespace tidemill::tracking
