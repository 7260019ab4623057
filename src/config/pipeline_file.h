// pipeline.yaml: a name, parameters, and steps that are MLflow Projects (docs/pipeline.md).
#pragma once

#include <memory>
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

// What becomes of the other steps when one has failed.
enum class AfterFailure {
  kFinish,    // those that run end, no more start
  kStop,      // those that run are stopped
  kKeepGoing  // all go on that do not need it
};
std::string_view to_string(AfterFailure after);  // "finish", "stop", "keep_going"

struct Pipeline;

struct Step {
  std::string name;
  Shared<Project> project;
  Shared<EntryPoint> entry;
  std::vector<StepArgument> arguments;
  std::vector<Named> needs;  // as written; references add more
  std::optional<Foreach> foreach;
  Phase phase = Phase::kMain;
  Shared<StepSettings> settings;
  Place place;
  Shared<fs::path> folder;  // of the file, that relative paths start from
  // What the step stands for, when that is a pipeline of another file; it has no project then.
  std::shared_ptr<const Pipeline> inner;
  std::string within;  // once pipelines are put in place of such steps: the one that it comes from, "a/b"
};

// Everything of a step that may hold references, but what its foreach stands for.
std::vector<const Template*> templates_of(const Step& step);
std::vector<Template*> templates_of(Step& step);

// What a pipeline shows of itself to one that it is a step of.
struct Output {
  std::string name;
  Template value;
};

// A place where a file of a pipeline was looked for.
struct LookedFor {
  fs::path path;
  std::string sha256;  // of what it held; "": there was none
};

struct Pipeline {
  std::string name;
  std::string experiment;  // name of the experiment its runs belong to; defaults to the pipeline's name
  std::vector<Parameter> parameters;
  std::vector<Secret> secrets;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<Step> steps;  // in the order of the file, those of the end behind the others
  int max_parallel = 0;     // 0: as many as there are cores
  AfterFailure after_failure = AfterFailure::kFinish;
  std::optional<std::chrono::milliseconds> timeout;  // of a run's main phase
  fs::path folder;                                   // of the file, absolute
  std::string file;
  std::string sha256;                  // of what the file held when it was read
  std::vector<LookedFor> inner_files;  // of the pipelines within, at any depth; of the outermost only
};

// The keys of the file, and those of a step.
const std::vector<std::string>& pipeline_keys();
const std::vector<std::string>& step_keys();
// The JSON Schema of the file, for editors.
std::string_view pipeline_schema();

// Reads the file, the MLproject of every step, and the pipelines that steps stand for; one that comes to
// contain itself is refused. Checks what can be seen in one place; the graph is
// pipeline::make_plan's business.
Result<Pipeline> load_pipeline(const fs::path& file);
// The same as far as it can be read, for more to be checked: nothing when there is no pipeline to be seen.
std::optional<Pipeline> load_pipeline(const fs::path& file, Problems& problems);

}  // namespace tidemill::config
