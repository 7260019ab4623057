#include "engine/cancel.h"

#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/text.h"
#include "base/time.h"
#include "engine/earlier.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "sys/minded_process.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using tracking::RunStatus;

constexpr int kPatienceSeconds = 60;

Result<std::string> end_runner(tracking::Store& store, const tracking::Run& run) {
  const std::string runner(run.tag(kRunnerTag)), process = split(runner, ':')[1];
  for (int signal : {SIGTERM, SIGCONT}) ::kill(std::atoi(process.c_str()), signal);  // it may be stopped
  const Stopwatch watch;
  while (runner_is_alive(runner) && TRY(store.run(run.info.id)).info.status == RunStatus::kRunning) {
    if (interrupted())
      return fail(Code::kCancelled, "run {} was told to end, and has not yet ended", run.info.id);
    if (watch.seconds() > kPatienceSeconds)
      return fail(
          Code::kUnavailable,
          "process {} was told to end run {}, and has not within {} seconds: its steps or what runs at "
          "its end take long (tidemill status {}), or it hangs: then kill -9 {}, and cancel again",
          process, run.info.id, kPatienceSeconds, run.info.id, process);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return fmt::format("run {} was ended by its runner", run.info.id);
}

Result<> mark_killed(tracking::Store& store, const std::string& run_id) {
  return store.update_run({.run_id = run_id, .status = RunStatus::kKilled, .end_time = now_ms(), .name = {}})
      .map([](const auto&) {});
}

}  // namespace

Result<std::string> cancel(tracking::Store& store, const std::string& run_id, const Options& options) {
  tracking::Run run = TRY(store.run(run_id));
  if (run.info.status == RunStatus::kRunning && runner_is_alive(run.tag(kRunnerTag)))
    return end_runner(store, run);
  std::vector<std::string> stopped;
  std::vector<tracking::Change> changes;
  for (auto& step : TRY(store.step_records(run_id))) {
    if (step.state != to_string(StepState::kRunning)) continue;
    auto process =
        TRY(MindedProcess::find(process_record(attempts_folder(options.state_dir), step.step_run)));
    if (process) {
      process->stop();
      process->wait();
      stopped.push_back(step.step);
      TRY(mark_killed(store, step.step_run));
    }
    step.state = to_string(StepState::kKilled);
    step.reason = process ? "cancelled" : "its process is no more, and the run was cancelled";
    changes.emplace_back(std::move(step));
  }
  if (stopped.empty() && run.info.status != RunStatus::kRunning)
    return fail(Code::kConflict, "run {} is not running: it is {}", run_id,
                tracking::to_string(run.info.status));
  for (const auto& nest : TRY(nest_runs(store, run)))
    if (nest.info.status != RunStatus::kFinished) TRY(mark_killed(store, nest.info.id));
  TRY(store.apply(changes));
  TRY(store.set_tag(run_id, std::string(kOutcomeTag), std::string(to_string(RunOutcome::kCancelled))));
  TRY(mark_killed(store, run_id));
  std::string what = stopped.empty() ? "no process of it was left" : "stopped " + join(stopped, ", ");
  return fmt::format("run {}, whose runner is no more: {}", run_id, what);
}

}  // namespace tidemill::engine
