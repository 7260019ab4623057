// What has been deleted, and how it goes for good: the rules of `mlflow gc`. The files are the caller's to
// remove, before the rows: then an interrupted collection is only repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::tracking {

struct GarbageSelection {
  int64_t older_than_ms = 0;  // deleted at least so long ago
  // Only these; they must be deleted, and long enough. Nothing: all.
  std::optional<std::vector<std::string>> run_ids, experiment_ids, model_ids;
};

struct Garbage {
  struct Item {
    std::string id;
    std::string artifact_uri;  // experiments: ""
  };
  std::vector<Item> runs, models, experiments;
};

class GarbageCollection {
 public:
  // The store must outlive it.
  explicit GarbageCollection(Store& store) : state_(store.state()) {}

  // Runs and models of experiments that go are among the runs and models. kNotFound and kInvalid name what
  // was selected and cannot go.
  Result<Garbage> find(const GarbageSelection& selection);
  // Each with everything that belongs to it. kInvalid when it was restored meanwhile.
  Result<> erase_run(std::string_view id);
  Result<> erase_model(std::string_view id);
  Result<> erase_experiment(std::string_view id);  // must have no runs and models left

 private:
  Store::State& state_;
};

}  // namespace tidemill::tracking
