// pipeline.yaml: a name, parameters, and steps that are MLflow Projects (docs/pipeline.md).
#pragma once

#include <string>
#include <vector>

#include "config/foreach.h"
#include "config/input.h"
#include "config/mlproject.h"
#include "config/reference.h"
#include "config/secret.h"
#include "config/step_settings.h"

namespace tidemill::config {

struct StepArgument {
  std::string name;
  Template value;
  Place place;
  std::string fetched_from = {};  // the URI of what lies at `value` now, as people may see it
};

// When in a run a step has its turn.
enum class Phase { kMain, kOnSuccess, kOnFailure, kFinally };
std::string_view to_string(
    Phase phase);  // the key of the file: "steps", "on_success", "on_failure", "finally"

struct Step {
  std::string name;
  Project project;
  EntryPoint entry;
  std::vector<StepArgument> arguments;
  std::vector<Named> needs;  // as written; references add more
  std::optional<Foreach> foreach;
  Phase phase = Phase::kMain;
  StepSettings settings;
  Place place;
};

struct Pipeline {
  std::string name;
  std::string experiment;  // name of the experiment its runs belong to; defaults to the pipeline's name
  std::vector<Parameter> parameters;
  std::vector<Secret> secrets;
  std::vector<Input> inputs;
  std::vector<Step> steps;  // in the order of the file, those of the end behind the others
  int max_parallel = 0;     // 0: as many as there are cores
  fs::path folder;          // of the file, absolute
  std::string file;
  std::string sha256;  // of what the file held when it was read
};

// Words of a command that are files if there are such below its folder: the code of a step without a project.
std::vector<std::string> words_for_files(const std::string& command);

// The keys of the file, and those of a step.
const std::vector<std::string>& pipeline_keys();
const std::vector<std::string>& step_keys();
// The JSON Schema of the file, for editors.
std::string_view pipeline_schema();

// Reads the file and the MLproject of every step. Checks what can be seen in one place; the graph is
// pipeline::make_plan's business.
Result<Pipeline> load_pipeline(const fs::path& file);
// The same as far as it can be read, for more to be checked: nothing when there is no pipeline to be seen.
std::optional<Pipeline> load_pipeline(const fs::path& file, Problems& problems);

}  // namespace tidemill::config
