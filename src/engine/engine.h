// Executes a plan: one parent run, one child run for each step, each step a process of its own. Every change
// of state is in the store before it is acted on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::engine {

enum class StepState { kWaiting, kRunning, kFinished, kFailed, kSkipped, kKilled };
std::string_view to_string(StepState state);  // "waiting", ...

// --- Events: what a listener (terminal, JSON lines) is told, in order, on the thread that calls execute().
// ---

struct RunStarted {
  std::string run_id, run_name, experiment_id, experiment;
  std::vector<std::string> steps;
};
struct StepStarted {
  std::string step, run_id;
  std::string command;
  fs::path log, artifacts;
};
// While a step runs, about five times a second, when the step tells of its progress (sys/terminal.h).
struct StepProgress {
  std::string step;
  std::string label, unit, note;
  uint64_t done = 0, total = 0;
  double seconds = 0;
};
struct StepFinished {
  std::string step, run_id;  // run_id is "" for a skipped step
  StepState state = StepState::kFinished;
  double seconds = 0;
  std::string reason;   // "exit status 3", "needs train, which failed"; "" when it finished
  std::string command;  // of a failed step
  fs::path log;
  std::vector<std::string> last_lines;  // of a failed step's log, at most 20
  size_t artifact_count = 0;
  uint64_t artifact_bytes = 0;
};
struct RunFinished {
  std::string run_id;
  tracking::RunStatus status = tracking::RunStatus::kFinished;
  double seconds = 0;
};
using Event = std::variant<RunStarted, StepStarted, StepProgress, StepFinished, RunFinished>;
using Listener = std::function<void(const Event&)>;

// Whether a project's declared environment (python_env, conda_env, docker_env) is wanted, or the machine as
// it is.
enum class EnvironmentManager { kDeclared, kLocal };

struct Options {
  std::string tracking_uri;  // MLflow REST endpoint over the same store: http://127.0.0.1:PORT
  fs::path artifact_root;    // the folder behind mlflow-artifacts:/ URIs; "" when there is none
  fs::path program_dir;      // put first in the steps' PATH; "" for none
  std::string experiment;    // name; "": the plan's
  std::string run_name;      // "": the plan's name
  int max_parallel = 0;      // 0: the plan's, else one for each core
  std::chrono::milliseconds kill_grace{10'000};  // between SIGTERM and SIGKILL
  EnvironmentManager environment = EnvironmentManager::kDeclared;
  std::map<std::string, std::string> extra_env;
};

struct StepOutcome {
  std::string step, run_id;
  StepState state = StepState::kWaiting;
  double seconds = 0;
};
struct Outcome {
  std::string run_id, experiment_id;
  tracking::RunStatus status = tracking::RunStatus::kFinished;
  double seconds = 0;
  std::vector<StepOutcome> steps;  // in the plan's order
};

// Runs the plan to its end. A failing step is not an error here: see Outcome::status (kFailed; kKilled when
// sys/signals.h reports an interrupt). Errors: the store refuses (full disk, read-only), or a step's
// parameters do not fit its project (kInvalid; nothing has been recorded then). Call it on the main thread,
// with catch_interrupts() done.
Result<Outcome> execute(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                        const Listener& listener);

// A single project run as `mlflow run` does it: one run, without a parent, of this name and experiment.
Result<Outcome> execute_project(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                                const Listener& listener);

// Ends as FAILED every RUNNING run whose runner (a process of this machine, since its last boot) is no more.
// Returns the ids. Call it when a store is opened.
Result<std::vector<std::string>> end_orphaned_runs(tracking::Store& store);

}  // namespace tidemill::engine
