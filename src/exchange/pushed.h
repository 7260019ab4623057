// Runs of this store on an MLflow (or Tidemill) server: it gives ids of its own, and a run there carries its
// id here in a tag, by which it is found again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exchange/mlflow_api.h"
#include "tracking/store.h"

namespace tidemill::exchange {

inline constexpr std::string_view kPushedFromTag = "tidemill.pushed_from";

struct PushedRun {
  std::string id;  // there
  std::string artifact_uri;
  bool is_deleted = false;
};

// The experiment's id there; made when it is missing. kConflict when it is deleted there.
struct PushedExperiment {
  std::string id;
  bool is_new = false;
};
Result<PushedExperiment> push_experiment(MlflowApi& api, const std::string& name,
                                         const std::vector<tracking::KeyValue>& tags);
// With kAll, a deleted one where there is no other.
Result<std::optional<PushedRun>> find_pushed_run(MlflowApi& api, const std::string& experiment,
                                                 const std::string& run_id,
                                                 tracking::ViewType view = tracking::ViewType::kActiveOnly);
// The run that has the same id there: the server's store is the one that this store's run was imported from,
// or this store itself.
Result<std::optional<PushedRun>> find_same_run(MlflowApi& api, const std::string& run_id);
// With these tags, its name, user and start time.
Result<PushedRun> create_pushed_run(MlflowApi& api, const std::string& experiment, const tracking::Run& run,
                                    std::vector<tracking::KeyValue> tags);
// In as many calls as it takes. run: its id there.
Result<> push_batch(MlflowApi& api, const std::string& run, const tracking::Batch& batch);

}  // namespace tidemill::exchange
