// The points of metrics, of one run or of many, whole or thinned out for a chart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracking/chunk.h"
#include "tracking/store.h"

namespace tidemill::tracking {

// Of steps or of timestamps.
struct PointRange {
  int64_t first = 0, last = 0;  // both included
};

struct RunHistory {
  std::string run_id;
  std::vector<Point> points;
};

class MetricHistory {
 public:
  // The store must outlive it.
  explicit MetricHistory(Store& store) : state_(store.state()) {}

  // By run id, then by (timestamp, step, value); at most max_results points in all. Runs that do not exist or
  // lack the metric have none.
  Result<std::vector<RunHistory>> of_runs(std::vector<std::string> run_ids, std::string_view key,
                                          size_t max_results);
  // Of each run at most max_points, by (step, timestamp, value), its first and its last among them (of one
  // point: the last). Up to twenty thousand points are sampled as MLflow does it, evenly by rank. Longer
  // metrics become an outline: the lowest and the highest point of each of max_points / 2 stretches, so that
  // no peak is lost. kNotFound names a run that does not exist.
  Result<std::vector<RunHistory>> sampled(const std::vector<std::string>& run_ids, std::string_view key,
                                          size_t max_points, const std::optional<PointRange>& range);

 private:
  Store::State& state_;
};

}  // namespace tidemill::tracking
