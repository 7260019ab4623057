// Entities as MLflow's REST replies show them. Members that are missing or of another type are empty; what
// must be there for the entity to make sense is kInvalid when it is not.
#pragma once

#include <span>

#include "base/json.h"
#include "tracking/transfer.h"

namespace tidemill::exchange {

// Parameters and tags as calls carry them.
Json json_of(std::span<const tracking::KeyValue> pairs);

Result<tracking::Experiment> experiment_from(const Json& json);
// With the latest point of each metric.
Result<tracking::Run> run_from(const Json& json);
Result<tracking::Metric> metric_from(const Json& json);
Result<tracking::LoggedModel> logged_model_from(const Json& json);
Result<tracking::RegisteredModel> registered_model_from(const Json& json);
Result<tracking::ModelVersion> model_version_from(const Json& json);

}  // namespace tidemill::exchange
