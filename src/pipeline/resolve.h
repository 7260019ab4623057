// Values for the references of a plan. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/plan.h"

namespace tidemill::pipeline {

// What is known of a step once it has run, or is about to.
struct StepResult {
  std::string state;  // "succeeded", "failed", "skipped", "": it has not run; all else only of "succeeded"
  std::string run_id;
  std::string artifacts;  // its artifact folder
  std::function<std::optional<std::string>(const std::string& metric)> metric;
};

// What references stand for while the pipeline runs.
struct Scope {
  std::string run_id, artifacts;  // of the parent run
  std::string experiment_id;
  std::function<StepResult(size_t step)> step;  // of the plan
  std::string state, failed;  // for the steps at the end: how the run has gone, and which steps have failed
};

// The value with every reference replaced. `self` is the step's own run. A value that refers to a step with
// foreach becomes a JSON list with one entry for each of its instances. kInvalid when a metric that is
// referred to was not logged, or a step that is referred to has not succeeded.
Result<std::string> resolve(const Plan& plan, const config::Template& value, const StepResult& self,
                            const Scope& scope);
// The same for all arguments of a step.
Result<config::Arguments> resolve(const Plan& plan, const PlannedStep& step, const StepResult& self,
                                  const Scope& scope);

// For a value that refers to a step with foreach: the value for each instance, in their order. Empty for
// others.
std::vector<config::Template> members_of(const Plan& plan, const config::Template& value);

}  // namespace tidemill::pipeline
