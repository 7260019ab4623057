// MLflow Projects: the MLproject file (mlflow.org/docs, "MLflow Projects") and the commands of its entry
// points.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/parameter.h"
#include "config/problems.h"
#include "config/project_environment.h"

namespace tidemill::config {

struct EntryPoint {
  std::string name;
  std::vector<Parameter> parameters;
  std::string command;  // with {name} for parameters, {{ and }} for braces
  Place place;
};

struct Project {
  fs::path folder;
  std::string name;
  ProjectEnvironment environment;
  std::vector<EntryPoint> entry_points;
  std::string file;    // the MLproject file, "" when the folder has none
  std::string sha256;  // of what the file held when it was read

  const EntryPoint* find(std::string_view name) const;
};

// Parameters by name, in the order given.
using Arguments = std::vector<std::pair<std::string, std::string>>;

// Reads folder/MLproject (whatever its case). A folder without one is a project without declared entry
// points.
Result<Project> load_project(const fs::path& folder);
Result<Project> parse_project(std::string_view text, const std::string& file_name);
// The same as far as it can be read; nothing when the folder or the file cannot be.
std::optional<Project> load_project(const fs::path& folder, Problems& problems);

// The declared entry point, or one made up for a script file of the folder (.py, .sh) as MLflow does.
// kInvalid names the nearest declared one.
Result<EntryPoint> entry_point(const Project& project, std::string_view name);

// What each declared parameter gets (given, or its default), then the undeclared ones. Checks types and that
// nothing required is missing.
Result<Arguments> complete_arguments(const EntryPoint& entry, const Arguments& given);
// The same with those of type path absolute, against `folder`, for the command: they must be there.
Result<Arguments> with_absolute_paths(const EntryPoint& entry, Arguments complete, const fs::path& folder);
// Whether a value of type path is a URI of something that has to be fetched: s3://, runs:/, ...
bool is_remote(std::string_view path);

// The shell command: declared parameters substituted, shell-quoted; undeclared ones appended as --name value.
Result<std::string> command_line(const EntryPoint& entry, const Arguments& complete);

}  // namespace tidemill::config
