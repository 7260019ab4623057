// The plan of a pipeline run. Pure: structs in, structs out; no clock, no disk, no process.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/pipeline_file.h"

namespace tidemill::pipeline {

struct PlannedStep {
  std::string name;
  Shared<config::Project> project;
  Shared<config::EntryPoint> entry;
  std::vector<config::StepArgument> arguments;
  std::vector<size_t> needs;  // indexes into Plan::steps, all smaller than this step's own
  Shared<config::StepSettings> settings;
  std::vector<size_t> tolerated;  // of `needs`: those that may end in any way
  config::Phase phase = config::Phase::kMain;
  std::string group;       // the name of the step whose foreach made it; "" for a step without
  config::Arguments each;  // its values
  std::vector<config::Secret> secrets;
  Shared<fs::path> folder;            // of the pipeline's file that it stands in: relative paths start there
  std::optional<std::string> probed;  // what its probe has printed
  std::string within;                 // the step whose pipeline it is part of, "a/b"; "" for none

  bool tolerates(size_t need) const;
};

struct Plan {
  std::string name;
  std::string experiment;
  config::Arguments params;             // every pipeline parameter with its value
  std::vector<PlannedStep> steps;       // in an order in which they can run one after another
  std::vector<config::Input> inputs;    // those of a url have no file until they are fetched
  std::vector<config::Secret> secrets;  // all that the pipeline names
  int max_parallel = 0;
  config::AfterFailure after_failure = config::AfterFailure::kFinish;
  std::optional<std::chrono::milliseconds> timeout;
  fs::path folder;
  std::string file;
  std::string sha256;                                 // of what the file held when it was read
  std::vector<config::LookedFor> inner_files;         // of the pipelines within
  std::unordered_map<std::string, size_t> positions;  // of the steps, by name
  // What a step with foreach, or one that is a pipeline, stands for.
  std::unordered_map<std::string, std::vector<size_t>> groups;

  std::optional<size_t> index(const std::string& step) const;
  // The step, or all that it stands for; empty when there is none of this name.
  std::vector<size_t> instances(const std::string& step) const;
  std::vector<std::string> step_names() const;  // in their order
  // What one can call the steps: a step with foreach goes by its own name.
  std::vector<std::string> names() const;
};

// Checks parameters given on the command line and the graph: unknown or missing parameters, unknown steps in
// `needs` and references, references to things a step does not have, cycles (shown as a path). Every message
// has file:line:column. Steps keep the order of the file as far as their needs allow; a step with foreach
// becomes one for each combination of its values.
Result<Plan> make_plan(const config::Pipeline& pipeline, const config::Arguments& given);
// The same, telling everything that is wrong; nothing when there was or is a problem. Parameters that must be
// given may be missing when nothing is to be run: Plan::params lacks them then.
enum class Missing { kRefused, kAllowed };
std::optional<Plan> make_plan(const config::Pipeline& pipeline, const config::Arguments& given,
                              Missing missing, config::Problems& problems);

// A plan of one step for a single project, its parameters given directly.
Plan plan_of_project(const config::Project& project, const config::EntryPoint& entry,
                     const config::Arguments& given);

}  // namespace tidemill::pipeline
