// What a step's process is started with: its references resolved, its parameters checked and recorded, its
// command and environment.
#pragma once

#include <string>
#include <vector>

#include "engine/attempt.h"
#include "engine/engine.h"
#include "engine/record.h"
#include "engine/step_cache.h"
#include "pipeline/condition.h"
#include "pipeline/plan.h"
#include "pipeline/resolve.h"
#include "sys/process.h"

namespace tidemill::engine {

class CommandMaker {
 public:
  CommandMaker(const pipeline::Plan& plan, const Options& options, Record& record, const StepCache& cache);

  // What a step that has ended, or was reused, left for those behind it. run_id: the run that made it;
  // own_run: the step's own, which is another one when it was reused.
  void learn(size_t step, const std::string& run_id, const std::string& own_run, const fs::path& artifacts);
  // How a step has ended that left nothing.
  void note(size_t step, StepState state);
  // How the run has gone, for the steps at its end.
  void note_run(std::string state, std::string failed);
  // Whether the step's condition holds; true without one.
  Result<pipeline::Truth> condition(size_t step) const;
  // What a value of the step stands for once it has ended.
  Result<std::string> value_of(size_t step, const config::Template& value) const;
  // Fills in the attempt's command and variables, and logs its parameters. kInvalid when a value does not
  // fit.
  Result<> prepare(size_t step, Attempt& attempt);
  ProcessOptions process_of(size_t step, const Attempt& attempt) const;
  // Of Minding.
  std::vector<std::string> clean_up_of(size_t step, const Attempt& attempt) const;

 private:
  pipeline::Scope scope() const;
  std::vector<std::string> contained(const projects::Container& container, const Attempt& attempt,
                                     const ProcessOptions& process) const;
  const pipeline::StepResult& known_result(size_t step) const;
  pipeline::StepResult result_of(size_t step, const std::string& run_id, const fs::path& artifacts) const;

  const pipeline::Plan& plan_;
  const Options& options_;
  Record& record_;
  const StepCache& cache_;
  // Of runs on another tracking server the ids are asked for when somebody refers to them.
  mutable std::vector<pipeline::StepResult> results_;
  mutable std::map<size_t, std::string> own_runs_;  // of those that have not been asked for
  std::string run_state_, failed_steps_;
  bool uses_gpus_ = false;  // steps that do not ask for one see none then
};

}  // namespace tidemill::engine
