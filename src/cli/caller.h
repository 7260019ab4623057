// Who calls `tidemill run`: a person, or a step of another run, whose run is the parent then.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/run_options.h"
#include "exchange/mlflow_api.h"

namespace tidemill::cli {

// Of steps whose MLFLOW_TRACKING_URI is that of the run around them, and no server of its own.
inline constexpr const char* kEndpointVariable = "TIDEMILL_ENDPOINT";

// Of the caller's environment; "" where it is not set.
std::string variable(const char* name);

// MLFLOW_RUN_ID; or the run of the step, for clients of MLflow take that variable away once they have joined
// the run. "" when neither is a run of this store; with a tracking server, MLFLOW_RUN_ID may be one there.
Result<std::string> calling_run(tracking::Store& store, bool has_tracking_server);

// The name of the experiment that is asked for: by the options, MLFLOW_EXPERIMENT_ID, or
// MLFLOW_EXPERIMENT_NAME; "" when nothing is. With a tracking server an id is one there. kNotFound: there is
// no such id; kInvalid: it is deleted.
Result<std::string> experiment_of(tracking::Store& store, const RunOptions& options,
                                  const std::optional<exchange::ServerAddress>& tracking_server);

// What every step is told, so that it can call this program for the same store.
Result<std::map<std::string, std::string>> variables_for_steps(const Context& context);

}  // namespace tidemill::cli
