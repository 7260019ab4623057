// The plan of a pipeline run. Pure: structs in, structs out; no clock, no disk, no process.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/pipeline_file.h"

namespace tidemill::pipeline {

struct PlannedStep {
  std::string name;
  config::Project project;
  config::EntryPoint entry;
  std::vector<config::StepArgument> arguments;
  std::vector<size_t> needs;  // indexes into Plan::steps, all smaller than this step's own
  config::StepSettings settings;
};

struct Plan {
  std::string name;
  std::string experiment;
  config::Arguments params;        // every pipeline parameter with its value
  std::vector<PlannedStep> steps;  // in an order in which they can run one after another
  int max_parallel = 0;
  fs::path folder;
  std::string file;
  std::unordered_map<std::string, size_t> positions;  // of the steps, by name

  std::optional<size_t> index(const std::string& step) const;
};

// Checks parameters given on the command line and the graph: unknown or missing parameters, unknown steps in
// `needs` and references, references to things a step does not have, cycles (shown as a path). Every message
// has file:line:column. Steps keep the order of the file as far as their needs allow.
Result<Plan> make_plan(const config::Pipeline& pipeline, const config::Arguments& given);
// The same, telling everything that is wrong; nothing when there was or is a problem. Parameters that must be
// given may be missing when nothing is to be run: Plan::params lacks them then.
enum class Missing { kRefused, kAllowed };
std::optional<Plan> make_plan(const config::Pipeline& pipeline, const config::Arguments& given,
                              Missing missing, config::Problems& problems);

// A plan of one step for a single project, its parameters given directly.
Plan plan_of_project(const config::Project& project, const config::EntryPoint& entry,
                     const config::Arguments& given);

// What is known of a step once it has run, or is about to.
struct StepResult {
  std::string run_id;
  std::string artifacts;  // its artifact folder
  std::function<std::optional<std::string>(const std::string& metric)> metric;
};

// What references stand for while the pipeline runs.
struct Scope {
  std::string run_id, artifacts;  // of the parent run
  std::string experiment_id;
  std::function<const StepResult*(const std::string& step)> step;
};

// The step's arguments with every reference replaced. `self` is the step's own run. kInvalid when a metric
// that is referred to was not logged.
Result<config::Arguments> resolve(const Plan& plan, const PlannedStep& step, const StepResult& self,
                                  const Scope& scope);
Result<std::string> resolve(const Plan& plan, const config::Template& value, const StepResult& self,
                            const Scope& scope);

}  // namespace tidemill::pipeline
