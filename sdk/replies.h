// What a server answers, as the SDK's types. kInternal: the reply lacks what every server gives.
#pragma once

#include "base/json.h"
#include "tidemill/client.h"

namespace tidemill::sdk {

tidemill::Result<Experiment> experiment_from(const Json& json);
tidemill::Result<RunRecord> run_from(const Json& json);
tidemill::Result<Metric> metric_from(const Json& json);
tidemill::Result<ArtifactInfo> artifact_from(const Json& json);
tidemill::Result<RegisteredModel> registered_model_from(const Json& json);
tidemill::Result<ModelVersion> model_version_from(const Json& json);

std::string_view to_string(RunStatus status);  // "RUNNING"
std::string_view to_string(View view);         // "ACTIVE_ONLY"

// The member, or null.
const Json& member(const Json& object, std::string_view key);

}  // namespace tidemill::sdk
