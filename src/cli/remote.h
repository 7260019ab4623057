// A server on the command line, with what MLflow's environment variables say of it.
#pragma once

#include "exchange/mlflow_api.h"

namespace tidemill::cli {

// MLFLOW_TRACKING_USERNAME and _PASSWORD, _TOKEN, _INSECURE_TLS, _SERVER_CERT_PATH.
exchange::ServerAddress server_at(const std::string& url);

}  // namespace tidemill::cli
