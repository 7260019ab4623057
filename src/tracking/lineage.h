// What runs read and made: data sets and logged models. It is part of a Run when that is read; here it is
// written and summed up. Errors carry MLflow's texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracking/entities.h"
#include "tracking/store.h"

namespace tidemill::tracking {

struct DatasetSummary {
  std::string experiment_id;
  std::string name;
  std::string digest;
  std::optional<std::string> context;  // the tag mlflow.data.context
};

class Lineage {
 public:
  // The store must outlive it.
  explicit Lineage(Store& store) : state_(store.state()) {}

  // A data set that the run has already, by name and digest, keeps its first source and tags.
  Result<> log_inputs(std::string_view run_id, const std::vector<DatasetInput>& datasets,
                      const std::vector<std::string>& model_ids);
  Result<> log_outputs(std::string_view run_id, const std::vector<ModelOutput>& models);
  // The data sets that runs of the experiments have read, each once for each context; at most 1000.
  Result<std::vector<DatasetSummary>> datasets(const std::vector<std::string>& experiment_ids);

 private:
  Store::State& state_;
};

}  // namespace tidemill::tracking
