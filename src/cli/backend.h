// --backend, --backend-config and --docker-args, as `mlflow run` has them.
#pragma once

#include <string>
#include <vector>

#include "cli/run_options.h"

namespace tidemill::cli {

// Refuses (kInvalid) backends other than local, saying what to use instead. What the configuration, a .json
// file or JSON text, says for local (ENV_MANAGER, DOCKER_ARGS, STORAGE_DIR, BUILD_IMAGE) holds where no
// option says it.
Result<> apply_backend(RunOptions& options);

// "gpus=all", "v=/data:/data" and "t" as words of docker's or podman's command line: --gpus all -v
// /data:/data -t. kInvalid: a name that begins with a dash, or is there twice.
Result<std::vector<std::string>> container_arguments(const std::vector<std::string>& given);

}  // namespace tidemill::cli
