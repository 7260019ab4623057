// Who may make which call. Every entry of the table of calls (routes.h) carries a rule: what the request is
// about, as its parameters name it, and the right that its sender needs there. Where nobody has to log in,
// everything may be done.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "api/params.h"
#include "auth/permission.h"
#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::api {

struct Service;

enum class Of {
  kNothing,         // everybody who has logged in may do it
  kOwn,             // the call itself shows only what its sender may see: searches
  kSelf,            // the user that "username" names: that user, and administrators
  kSelfOrManaged,   // the same, and managers of the workspace
  kWorkspace,       // its managers
  kAdministration,  // administrators
  kNewExperiment,
  kExperiment,          // experiment_id
  kExperimentName,      // experiment_name
  kExperiments,         // experiment_ids: all of them
  kNewRun,              // experiment_id, "0" when missing
  kRun,                 // run_id or run_uuid
  kRunAndModels,        // the same, and the logged models that metrics, inputs or outputs name
  kRuns,                // run_id or run_ids, a list: all of them
  kRunsAndExperiments,  // run_ids and experiment_ids: all of them; of none the call itself shows what may be
                        // seen
  kNewLoggedModel,      // experiment_id, and the right to read source_run_id
  kLoggedModel,         // model_id
  kRunOrLoggedModel,    // run_id or model_id, one of them
  kNewModel,
  kModel,       // name
  kNewVersion,  // name, and the right to read what the version is made from
  kGranted,     // resource_type and resource_id
};

class Rule {
 public:
  constexpr Rule(Of of, auth::Right right) : of_(of), right_(right) {}
  Of of() const { return of_; }
  auth::Right right() const { return right_; }

 private:
  Of of_;
  auth::Right right_;
};

// The experiments of runs that were asked for: this never changes, and calls of a training loop ask again and
// again. Thread-safe.
class RunOwners {
 public:
  Result<std::string> experiment_of(tracking::Store& store, const std::string& run_id);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::string> experiments_;
};

// kDenied when the sender of the parameters may not make the call. What does not exist is as good as denied
// where its existence is a secret: of runs and logged models.
Result<> check_access(Service& service, const Params& params, const Rule& rule);
Result<> check_run(Service& service, const auth::Access& sender, const std::string& run_id,
                   auth::Right right);
// What lies behind mlflow-artifacts:/ at this path (decoded; "": everything) belongs to the experiment that
// its first part names; to what else is there the server's default applies.
Result<> check_artifact(const auth::Access& sender, std::string_view path, auth::Right right);
// Where a new experiment may keep its artifacts: people who are not administrators may not point this server
// at files that others have put there.
Result<> check_artifact_location(const Service& service, const auth::Access& sender,
                                 std::string_view location);
// Whether a folder or an s3:// URI lies where runs may keep artifacts that the endpoint shows.
bool lies_in_readable_root(const Service& service, const std::string& place);

// Those that the sender may read, for searches.
std::vector<std::string> readable_experiments(const Params& params, std::vector<std::string> ids);
// Whoever makes a thing may do everything with it.
Result<> grant_to_creator(Service& service, const Params& params, auth::Kind kind, const std::string& name);

}  // namespace tidemill::api
