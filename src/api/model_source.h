// Where the files of a new model version may lie: clients choose the source, and it must not lead them to
// files of this machine or to what another run or model has. Rules and texts of errors as in MLflow's server.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::api {

struct SourceRequest {
  std::string source;
  std::optional<std::string> run_id;    // nullopt: not given
  std::optional<std::string> model_id;  // nullopt: not given
};

struct ModelSource {
  std::string source;            // "models:/name@alias" with the version in place of the alias
  std::string storage_location;  // where the files are: models:/ resolved
  std::string run_id;
  std::string model_id;
};

// What a models:/ URI names: a logged model by its id, or a registered model by its name. Both "": neither.
struct NamedModel {
  std::string model_id;
  std::string name;
};
NamedModel model_in(std::string_view source);

// A local path must lie in the artifact folder of the run or logged model that is named with it; runs:/,
// models:/<id> and mlflow-artifacts:/ must belong to that run or model; no URI may hold "..". A source
// models:/name/version takes over what it does not say from that version.
// told: how clients are told where artifacts lie; null: as it is recorded.
using ToldUri = std::function<std::string(std::string)>;
Result<ModelSource> check_model_source(tracking::Store& store, const SourceRequest& request,
                                       const ToldUri& told = {});

}  // namespace tidemill::api
