#include "engine/events.h"

namespace tidemill::engine {

std::string_view to_string(StepState state) {
  switch (state) {
    case StepState::kWaiting:
      return "waiting";
    case StepState::kRunning:
      return "running";
    case StepState::kFinished:
      return "finished";
    case StepState::kFailed:
      return "failed";
    case StepState::kSkipped:
      return "skipped";
    case StepState::kKilled:
      return "killed";
  }
  return "";
}

}  // namespace tidemill::engine
