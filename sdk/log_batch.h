// What a run logs: as it waits for the server, and as one log-batch call carries it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace tidemill::sdk {

struct QueuedMetric {
  std::string key;
  double value;
  int64_t timestamp, step;
};

using KeyValue = std::pair<std::string, std::string>;

struct RunEnd {
  std::string status;
  int64_t time;
};

template <template <class...> class List>
struct Logged {
  List<QueuedMetric> metrics;
  List<KeyValue> params, tags;
  std::optional<RunEnd> end;  // comes after everything else

  size_t size() const { return metrics.size() + params.size() + tags.size() + end.has_value(); }
};

using LogBacklog = Logged<std::deque>;
using LogBatch = Logged<std::vector>;

// Takes what one call may carry from the front: at most 1000 items, among them 100 parameters and 100 tags,
// no parameter twice; the end alone.
LogBatch take_batch(LogBacklog& from);
// The reverse.
void put_back(LogBatch batch, LogBacklog& to);
// Two halves; by kind when there are several.
std::pair<LogBatch, LogBatch> split(const LogBatch& batch);

// MLflow's body of runs/log-metric without the run's id.
Json to_json(const QueuedMetric& metric);
// MLflow's body of runs/log-batch without the run's id; "end" is ours.
Json to_json(const LogBatch& batch);
// The reverse. kInvalid for what to_json() did not write.
tidemill::Result<LogBatch> batch_from_json(const Json& json);
Json pairs_to_json(const std::vector<KeyValue>& items);

}  // namespace tidemill::sdk
