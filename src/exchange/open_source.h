// A source from what a user calls it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "exchange/mlflow_api.h"
#include "exchange/source.h"

namespace tidemill::exchange {

bool is_server(std::string_view text);  // http:// or https://

// A folder or file:// URI: mlruns; a file, sqlite:///path or postgresql://...: the database of an MLflow
// server; http://... or https://...: a server, for which `address` says what else is needed. `served` is the
// folder behind the mlflow-artifacts:/ URIs of folders and databases; "": mlartifacts beside them.
Result<std::unique_ptr<Source>> open_source(const std::string& text, const fs::path& served,
                                            const ServerAddress& address);

}  // namespace tidemill::exchange
