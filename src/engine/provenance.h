// The tags of runs that say where they come from and who runs them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tracking/store.h"

namespace tidemill::engine {

// The tag that names the process which runs a run: "<boot id>:<pid>:<start time>".
inline constexpr std::string_view kRunnerTag = "tidemill.runner";

std::string this_runner();
// Whether that process still runs on this machine.
bool runner_is_alive(std::string_view runner);

// Whether it was started since the machine was.
bool runner_is_of_this_boot(std::string_view runner);

std::string user_name();

// Tags as MLflow sets them for runs of a project in this folder (mlflow.source.*, mlflow.project.backend,
// mlflow.user), and our own.
std::vector<tracking::KeyValue> source_tags(const fs::path& folder, const Options& options);

}  // namespace tidemill::engine
