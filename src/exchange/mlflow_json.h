// Entities as MLflow's REST replies show them. Members that are missing or of another type are empty; what
// must be there for the entity to make sense is kInvalid when it is not.
#pragma once

#include "base/json.h"
#include "tracking/transfer.h"

namespace tidemill::exchange {

Result<tracking::Experiment> experiment_from(const Json& json);
// With the latest point of each metric.
Result<tracking::Run> run_from(const Json& json);
Result<tracking::Metric> metric_from(const Json& json);
Result<tracking::LoggedModel> logged_model_from(const Json& json);
Result<tracking::RegisteredModel> registered_model_from(const Json& json);
Result<tracking::ModelVersion> model_version_from(const Json& json);

}  // namespace tidemill::exchange
