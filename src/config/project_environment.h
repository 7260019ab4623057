// The environment that an MLproject asks for: python_env, conda_env or docker_env (mlflow.org/docs, "MLflow
// Projects").
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/problems.h"

namespace tidemill::config {

enum class EnvironmentKind { kNone, kPython, kConda, kDocker };
std::string_view to_string(EnvironmentKind kind);  // "python_env", ...

struct DockerEnvironment {
  std::string image;
  std::vector<std::string> volumes;                                           // HOST:CONTAINER[:OPTIONS]
  std::vector<std::pair<std::string, std::optional<std::string>>> variables;  // no value: the machine's own
};

struct ProjectEnvironment {
  EnvironmentKind kind = EnvironmentKind::kNone;
  Place place;               // of what asks for it
  fs::path file;             // of python_env and conda_env
  DockerEnvironment docker;  // of docker_env
};

// From the keys of an MLproject file; files are as it names them.
ProjectEnvironment read_environment(const Node& mlproject, Problems& problems);
// Makes the file absolute and checks that it is there. A project that asks for nothing has the
// python_env.yaml or conda.yaml that lies in its folder, as with MLflow.
void locate_environment(const fs::path& folder, ProjectEnvironment& environment, Problems& problems);

// What python_env.yaml holds. A conda.yaml gives the same, as far as pip can install it.
struct PythonEnvironment {
  std::string python;                           // "3.11" or "3.11.2"; "": any
  std::vector<std::string> build_dependencies;  // as pip takes them, also "-r FILE"
  std::vector<std::string> dependencies;
  std::vector<std::string> left_out;  // conda packages that pip cannot install
};
Result<PythonEnvironment> load_python_env(const fs::path& file);
Result<PythonEnvironment> load_conda_env(const fs::path& file);

}  // namespace tidemill::config
