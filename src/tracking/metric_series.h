// Metrics as lines of a chart: many of them at once, each in no more stretches than the chart is wide.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tracking/metric_history.h"

namespace tidemill::tracking {

enum class Axis {
  kStep,
  kTime,      // ms since 1970
  kRelative,  // ms since the run's start
};

struct SeriesQuery {
  std::vector<std::string> run_ids, keys;  // each key of each run
  size_t points = 500;                     // stretches of a line, at most 10 000
  Axis axis = Axis::kStep;
  std::optional<PointRange> range = {};  // of x
};

struct Series {
  std::string run_id, key;
  size_t count = 0;  // points in the range
  // Along x. Up to `points` points are there one by one, with lowest and highest left empty. More of them are
  // put into stretches of equal width, whose borders move to the next border of a chunk in long metrics; x
  // and last are those of a stretch's last point. NaN is neither lowest nor highest, unless there is nothing
  // else.
  std::vector<int64_t> x;
  std::vector<double> lowest, highest, last;
};

struct SeriesOfRuns {
  std::vector<Series>
      series;  // by run, then by key, in the order asked for, without those that have no points
  std::vector<std::string> missing_runs;  // those asked for that do not exist
};

// kInvalid when more is asked for than one answer holds.
Result<SeriesOfRuns> read_series(Store& store, const SeriesQuery& query);

}  // namespace tidemill::tracking
