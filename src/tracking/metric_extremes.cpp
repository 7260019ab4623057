#include "tracking/metric_extremes.h"

#include "tracking/metric_reader.h"

namespace tidemill::tracking {
namespace {

struct MetricId {
  int64_t run, key;
};

constexpr int64_t kRunsAtATime = 1000;

Result<std::vector<MetricId>> metrics_of(db::Connection& connection, int64_t first_run) {
  std::vector<MetricId> metrics;
  db::Statement row =
      TRY(connection.prepare("SELECT run, key FROM metrics WHERE run BETWEEN ? AND ? ORDER BY run, key"));
  row.bind(first_run, first_run + kRunsAtATime - 1);
  while (TRY(row.step())) metrics.push_back({row.integer(0), row.integer(1)});
  return metrics;
}

}  // namespace

Result<> fill_metric_extremes(db::Connection& connection) {
  int64_t first = 0, last = -1;
  {
    db::Statement range = TRY(connection.prepare("SELECT min(run), max(run) FROM metrics"));
    if (TRY(range.step()) && !range.is_null(0)) {
      first = range.integer(0);
      last = range.integer(1);
    }
  }
  for (; first <= last; first += kRunsAtATime) {
    std::vector<MetricId> metrics = TRY(metrics_of(connection, first));
    for (const auto& [run, key] : metrics) {
      Extremes extremes = TRY(MetricReader(connection, run, key).extremes());
      TRY(connection.run("UPDATE metrics SET lowest = ?, highest = ? WHERE run = ? AND key = ?",
                         extremes.lowest(), extremes.highest(), run, key));
    }
  }
  return {};
}

}  // namespace tidemill::tracking
