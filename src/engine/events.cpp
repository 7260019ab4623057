#include "engine/engine.h"

namespace tidemill::engine {

std::string_view to_string(StepState state) {
  switch (state) {
    case StepState::kWaiting:
      return "waiting";
    case StepState::kRunning:
      return "running";
    case StepState::kFinished:
      return "finished";
    case StepState::kReused:
      return "reused";
    case StepState::kFailed:
      return "failed";
    case StepState::kTimedOut:
      return "timed_out";
    case StepState::kOutOfMemory:
      return "out_of_memory";
    case StepState::kCrashed:
      return "crashed";
    case StepState::kSkipped:
      return "skipped";
    case StepState::kKilled:
      return "killed";
  }
  return "";
}

StepState step_state(std::string_view text) {
  using enum StepState;
  for (StepState state :
       {kRunning, kFinished, kReused, kFailed, kTimedOut, kOutOfMemory, kCrashed, kSkipped, kKilled})
    if (text == to_string(state)) return state;
  return kWaiting;
}

std::string_view to_string(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kSucceeded:
      return "succeeded";
    case RunOutcome::kSucceededWithFailures:
      return "succeeded_with_failures";
    case RunOutcome::kFailed:
      return "failed";
    case RunOutcome::kCrashed:
      return "crashed";
    case RunOutcome::kTimedOut:
      return "timed_out";
    case RunOutcome::kCancelled:
      return "cancelled";
  }
  return "";
}

std::string_view to_string(Foreseen::What what) {
  switch (what) {
    case Foreseen::What::kRun:
      return "run";
    case Foreseen::What::kReuse:
      return "reuse";
    case Foreseen::What::kSkip:
      return "skip";
    case Foreseen::What::kDepends:
      return "depend";
    case Foreseen::What::kFail:
      return "fail";
  }
  return "";
}

}  // namespace tidemill::engine
