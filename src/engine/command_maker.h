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

  // The step has ended, or was reused, and the cache knows its result. own_run: the step's own, which is
  // another one than what made the result when it was reused.
  void learn(size_t step, const std::string& own_run);
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
  // nullptr: the step runs in none.
  const projects::Container* container_of(size_t step) const;

 private:
  pipeline::Scope scope() const;
  std::vector<std::string> contained(const projects::Container& container, const Attempt& attempt,
                                     const ProcessOptions& process) const;
  pipeline::StepResult result_of(size_t step) const;
  pipeline::StepResult result_of(size_t step, std::string run_id, std::string artifacts) const;

  const pipeline::Plan& plan_;
  const Options& options_;
  Record& record_;
  const StepCache& cache_;
  std::vector<StepState> states_;
  std::map<size_t, std::string> own_runs_;  // when the run is on another tracking server as well
  std::string run_state_, failed_steps_;
  std::vector<std::string> to_mask_;  // of every log: a step may come by a secret that it did not ask for
  bool uses_gpus_ = false;            // steps that do not ask for one see none then
};

}  // namespace tidemill::engine
