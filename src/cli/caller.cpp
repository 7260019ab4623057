#include "cli/caller.h"

#include <cstdlib>

#include "base/log.h"
#include "exchange/mlflow_json.h"

namespace tidemill::cli {
namespace {

constexpr const char* kStepRun = "TIDEMILL_RUN_ID";

Result<tracking::Experiment> experiment_there(const exchange::ServerAddress& server, const std::string& id) {
  auto api = TRY(exchange::MlflowApi::connect(server));
  Json reply = TRY(api.get("experiments/get", {{"experiment_id", id}}));
  return exchange::experiment_from(reply.value("experiment", Json::object()));
}

}  // namespace

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Result<std::string> calling_run(tracking::Store& store, bool has_tracking_server) {
  const std::string given = variable("MLFLOW_RUN_ID");
  for (const std::string& id : {given, variable(kStepRun)}) {
    if (id.empty()) continue;
    auto run = store.run(id);
    if (run) return id;
    if (run.error().code != Code::kNotFound) return tl::unexpected<Error>(run.error());
  }
  if (given.empty() || has_tracking_server) return given;
  log_warning("MLFLOW_RUN_ID names run {}, which this store does not have: the run gets no parent", given);
  return "";
}

Result<std::string> experiment_of(tracking::Store& store, const RunOptions& options,
                                  const std::optional<exchange::ServerAddress>& tracking_server) {
  if (!options.experiment.empty()) return options.experiment;
  std::string id = options.experiment_id;
  if (id.empty()) id = variable("MLFLOW_EXPERIMENT_ID");
  if (id.empty()) return variable("MLFLOW_EXPERIMENT_NAME");
  auto found = tracking_server ? experiment_there(*tracking_server, id) : store.experiment(id);
  if (!found && found.error().code == Code::kNotFound)
    return fail(Code::kInvalid, "{}", found.error().message);
  const auto experiment = TRY(std::move(found));
  if (experiment.lifecycle != tracking::Lifecycle::kActive)
    return fail(Code::kInvalid, "experiment {} ('{}') is deleted", id, experiment.name);
  return experiment.name;
}

Result<std::map<std::string, std::string>> variables_for_steps(const Context& context) {
  auto where = TRY(context.location());
  if (where.kind == db::Location::Kind::kSqlite)
    return std::map<std::string, std::string>{{"TIDEMILL_STORE", fs::absolute(where.file).string()}};
  // What the caller has in its environment the steps have too. A password on the command line stays here.
  if (context.store == variable("TIDEMILL_STORE") || context.store == variable("MLFLOW_BACKEND_STORE_URI"))
    return std::map<std::string, std::string>{};
  return std::map<std::string, std::string>{{"TIDEMILL_STORE", where.name()}};
}

}  // namespace tidemill::cli
