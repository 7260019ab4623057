// What happens in a run, as the engine tells it.
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "tracking/entities.h"

namespace tidemill::engine {

enum class StepState {
  kWaiting,
  kRunning,
  kFinished,
  kReused,
  kFailed,       // its own doing, as the next two
  kTimedOut,     // it took, or waited, too long
  kOutOfMemory,  // it was killed for want of memory
  kCrashed,      // not its own doing: it could not be started, or its process was lost
  kSkipped,
  kKilled  // on somebody's request
};
std::string_view to_string(StepState state);  // "waiting", ...
StepState step_state(std::string_view text);  // of to_string(); another word: kWaiting
// Whether steps that need this one may run.
inline bool succeeded(StepState state) {
  return state == StepState::kFinished || state == StepState::kReused;
}

inline bool has_failed(StepState state) {
  return state == StepState::kFailed || state == StepState::kTimedOut || state == StepState::kOutOfMemory ||
         state == StepState::kCrashed;
}

// How a run went, the worst of its steps.
enum class RunOutcome {
  kSucceeded,
  kSucceededWithFailures,  // of steps that may fail
  kFailed,
  kCrashed,   // steps have, and no other has failed
  kTimedOut,  // the run itself
  kCancelled
};
std::string_view to_string(RunOutcome outcome);  // "succeeded", "succeeded_with_failures", ...
// A tag of a pipeline's run, with one of these words once it has ended.
inline constexpr std::string_view kOutcomeTag = "tidemill.outcome";

// What a listener (terminal, JSON lines) is told, in order, on the thread that calls execute().

struct RunStarted {
  std::string run_id, run_name, experiment_id, experiment;
  bool resumed = false;
  std::vector<std::string> steps;
};
// The step could run, and does not yet for want of what others hold. Told once.
struct StepWaits {
  std::string step;
  std::string reason;  // "waits for lock 'gpu', which others hold"
};
struct StepStarted {
  std::string step, run_id;
  std::string reason;  // why it runs
  int attempt = 1;
  std::string command;
  fs::path log, artifacts;
};
// While a step runs, about five times a second, when the step tells of its progress (sys/terminal.h); about
// once a second, when it logs of it (step_watch.h).
struct StepProgress {
  std::string step;
  std::string label, unit, note;
  uint64_t done = 0, total = 0;
  double seconds = 0;
};
// The step will be tried again, as another run.
struct AttemptFailed {
  std::string step, run_id;
  int attempt = 1;
  std::string kind;    // "exit", "signal", "timeout", "memory", "infrastructure"
  std::string reason;  // "exit status 3"
  double seconds = 0;
  double wait_seconds = 0;  // before the next attempt
  fs::path log;
  std::vector<std::string> last_lines;
};
struct StepFinished {
  std::string step, run_id;  // run_id is "" for a skipped step
  StepState state = StepState::kFinished;
  double seconds = 0;
  int attempt = 1;  // the last one
  // "exit status 3", "needs train, which failed", "nothing has changed since run 1a2b3c4d"; "" when finished
  std::string reason;
  std::string reused_run;  // of a reused step: the run that made its result
  std::string command;     // of a failed step
  fs::path log;
  std::vector<std::string> last_lines;  // of a failed step's log, at most 20
  std::vector<std::string> notes = {};  // of what was looked at when it had ended: its gate, its data
  size_t artifact_count = 0;
  uint64_t artifact_bytes = 0;
};
// Instead of telling of each step: nothing has changed since an earlier run, steps_of.
struct AllReused {
  std::string run_id, steps_of;
  size_t steps = 0;
};
struct RunFinished {
  std::string run_id;
  tracking::RunStatus status = tracking::RunStatus::kFinished;
  RunOutcome outcome = RunOutcome::kSucceeded;
  double seconds = 0;
};
using Event = std::variant<RunStarted, StepWaits, StepStarted, StepProgress, AttemptFailed, StepFinished,
                           AllReused, RunFinished>;
using Listener = std::function<void(const Event&)>;

}  // namespace tidemill::engine
