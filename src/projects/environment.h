// Environments that MLproject files ask for: made once, kept by what goes into them, used by every run that
// asks for the same.
#pragma once

#include <map>
#include <string>

#include "base/files.h"
#include "base/result.h"
#include "config/mlproject.h"
#include "projects/container.h"

namespace tidemill::projects {

// How a container is wanted by whoever runs the project.
struct ContainerWishes {
  std::vector<std::string> arguments;  // for the engine's `run`: "--gpus", "all"
  bool build = false;                  // with the project's folder in its image, as named by the project
  std::string version;                 // of that image, "" for none
};

// Who makes it. kDeclared: virtualenv for python_env, conda for conda_env, a container for docker_env, as
// MLflow chooses. kLocal: nobody, the machine's own programs serve.
enum class Manager { kDeclared, kLocal, kVirtualenv, kUv, kConda, kContainer };
std::string_view to_string(Manager manager);
Result<Manager> parse_manager(std::string_view name);

// What a command needs so that it runs in the environment.
struct Environment {
  Manager manager = Manager::kLocal;
  std::string id;                                // of its content; "" for kLocal
  fs::path folder;                               // "" for kLocal and kContainer
  std::map<std::string, std::string> variables;  // VIRTUAL_ENV, CONDA_PREFIX, CONTAINERS_CONF
  std::optional<Container> container;            // for kContainer
  fs::path programs() const { return folder.empty() ? fs::path() : folder / "bin"; }
};

// What it will be, and how it can be told apart from others, without making it.
Result<Environment> find_environment(const config::Project& project, Manager wanted,
                                     const ContainerWishes& container = {});

// Makes the project's environment, unless it is there, below $MLFLOW_ENV_ROOT or the cache folder. Two
// processes that want the same make it once; one that was interrupted half way is made anew. Progress goes to
// stderr, what the package manager says to a log beside it. kUnavailable when it cannot be made, kInvalid
// when the manager does not fit the project or the file is wrong.
Result<Environment> make_environment(const config::Project& project, Manager wanted,
                                     const ContainerWishes& container = {});

}  // namespace tidemill::projects
