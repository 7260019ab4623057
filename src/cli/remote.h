// A server on the command line, with what MLflow's environment variables say of it.
#pragma once

#include "cli/commands.h"
#include "exchange/mlflow_api.h"

namespace tidemill::cli {

// MLFLOW_TRACKING_USERNAME and _PASSWORD, _TOKEN, _INSECURE_TLS, _SERVER_CERT_PATH.
exchange::ServerAddress server_at(const std::string& url);

// The server that a run is recorded on beside the store. nullopt: the URI is "", or names no server, which is
// said; or it is that of this store's own endpoint: then the caller is a step, whose run (MLFLOW_RUN_ID) is
// in the store.
Result<std::optional<exchange::ServerAddress>> tracking_server(const Context& context, tracking::Store& store,
                                                               const std::string& uri);

}  // namespace tidemill::cli
