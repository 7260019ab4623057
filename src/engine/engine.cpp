#include "engine/engine.h"

#include <poll.h>

#include <csignal>
#include <cstdlib>
#include <list>
#include <thread>

#include "artifacts/artifact_repository.h"
#include "base/text.h"
#include "base/time.h"
#include "engine/artifact_index.h"
#include "engine/run_record.h"
#include "engine/step_check.h"
#include "sys/process.h"
#include "sys/process_guard.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using tracking::KeyValue;
using tracking::RunStatus;

constexpr milliseconds kTick{200};

std::vector<std::string> last_lines(const fs::path& log, size_t count) {
  std::string text = read_file(log).value_or("");
  constexpr size_t kTail = 64 << 10;
  if (text.size() > kTail) text.erase(0, text.size() - kTail);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return {};
  std::vector<std::string> lines = split(text, '\n');
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return lines;
}

RunStatus run_status(StepState state) {
  switch (state) {
    case StepState::kFinished:
      return RunStatus::kFinished;
    case StepState::kKilled:
      return RunStatus::kKilled;
    default:
      return RunStatus::kFailed;
  }
}

// A step that is under way.
struct RunningStep {
  size_t index;
  Process process;
  Stopwatch watch;
  std::string command;
  fs::path log, progress_file;
  std::optional<steady_clock::time_point> deadline;  // of its timeout
  std::optional<steady_clock::time_point> kill_at;   // SIGTERM has been sent
  StepState stop_state = StepState::kFinished;       // why it was stopped
  std::string stop_reason;
  double shown_seconds = -1;
};

class Execution {
 public:
  enum class Shape { kPipeline, kProject };

  Execution(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
            const Listener& listener, Shape shape)
      : plan_(plan),
        store_(store),
        options_(options),
        listener_(listener),
        shape_(shape),
        results_(plan.steps.size()) {
    for (const auto& step : plan.steps) outcome_.steps.push_back({step.name, "", StepState::kWaiting, 0});
  }

  Result<Outcome> run() {
    for (const auto& step : plan_.steps) TRY(check_step(plan_, step, options_));
    guard_.emplace(TRY(ProcessGuard::start()));
    adopt_orphans();
    scratch_.emplace(TRY(TempDir::create()));
    TRY(begin());
    auto done = loop();
    if (!done) abandon();
    kill_orphans({guard_->pid()});
    TRY(std::move(done));
    TRY(end());
    return outcome_;
  }

 private:
  bool is_pipeline() const { return shape_ == Shape::kPipeline; }

  // --- The parent run ---

  Result<> begin() {
    std::string experiment = options_.experiment.empty() ? plan_.experiment : options_.experiment;
    outcome_.experiment_id = TRY(store_.ensure_experiment(experiment));
    RunStarted event{.run_id = "",
                     .run_name = "",
                     .experiment_id = outcome_.experiment_id,
                     .experiment = experiment,
                     .steps = {}};
    for (const auto& step : plan_.steps) event.steps.push_back(step.name);
    if (is_pipeline()) {
      std::vector<KeyValue> tags = source_tags(plan_.folder, "main");
      tags.emplace_back("tidemill.pipeline", plan_.name);
      tags.emplace_back("tidemill.pipeline.steps", join(event.steps, ","));
      tracking::Run parent =
          TRY(create_run(options_.run_name.empty() ? plan_.name : options_.run_name, std::move(tags)));
      outcome_.run_id = event.run_id = parent.info.id;
      event.run_name = parent.info.name;
      artifacts_ = TRY(local_folder(parent));
      TRY(store_.log_batch(parent.info.id, {.metrics = {}, .params = plan_.params, .tags = {}}));
    }
    listener_(event);
    return {};
  }

  Result<tracking::Run> create_run(const std::string& name, std::vector<KeyValue> tags) {
    return store_.create_run({.experiment_id = outcome_.experiment_id,
                              .name = name,
                              .user = user_name(),
                              .start_time = now_ms(),
                              .tags = std::move(tags)});
  }

  Result<fs::path> local_folder(const tracking::Run& run) {
    auto folder = artifacts::local_folder(run.info.artifact_uri);
    auto proxied = artifacts::proxied_path(run.info.artifact_uri);
    if (proxied && !options_.artifact_root.empty()) folder = options_.artifact_root / *proxied;
    if (!folder)
      return fail(Code::kInvalid,
                  "experiment {} keeps its artifacts at {}, which is not a folder of this machine; choose "
                  "another with --experiment-name",
                  run.info.experiment_id, run.info.artifact_uri);
    TRY(make_dirs(*folder));
    return *folder;
  }

  Result<> end() {
    bool killed = false, failed = false;
    for (const auto& step : outcome_.steps) {
      killed = killed || step.state == StepState::kKilled;
      failed = failed || step.state == StepState::kFailed;
    }
    outcome_.status = failed                ? RunStatus::kFailed
                      : killed || stopping_ ? RunStatus::kKilled
                                            : RunStatus::kFinished;
    outcome_.seconds = watch_.seconds();
    if (is_pipeline()) {
      if (auto files = index_artifacts(artifacts_)) TRY(store_.record_artifacts(outcome_.run_id, *files));
      TRY(store_.update_run(
          {.run_id = outcome_.run_id, .status = outcome_.status, .end_time = now_ms(), .name = {}}));
    }
    listener_(RunFinished{outcome_.run_id, outcome_.status, outcome_.seconds});
    return {};
  }

  // The store refused in the middle of the run: stop what runs and say in the store what can be said.
  void abandon() {
    for (auto& step : running_) {
      step.process.stop(options_.kill_grace);
      (void)store_.update_run({.run_id = outcome_.steps[step.index].run_id,
                               .status = RunStatus::kFailed,
                               .end_time = now_ms(),
                               .name = {}});
    }
    running_.clear();
    if (is_pipeline())
      (void)store_.update_run(
          {.run_id = outcome_.run_id, .status = RunStatus::kFailed, .end_time = now_ms(), .name = {}});
  }

  // --- The loop: start what can start, wait for one thing to happen, handle it ---

  Result<> loop() {
    for (;;) {
      TRY(start_ready_steps());
      if (running_.empty()) break;
      wait_for_something();
      if (interrupted() && !stopping_) stop_all();
      TRY(handle_exits());
      enforce_deadlines();
      report_progress();
    }
    return skip_the_rest();
  }

  size_t most_parallel() const {
    int limit = options_.max_parallel > 0 ? options_.max_parallel : plan_.max_parallel;
    return limit > 0 ? static_cast<size_t>(limit) : std::max(1u, std::thread::hardware_concurrency());
  }

  bool is_ready(size_t index) const {
    if (outcome_.steps[index].state != StepState::kWaiting) return false;
    for (size_t need : plan_.steps[index].needs)
      if (outcome_.steps[need].state != StepState::kFinished) return false;
    return true;
  }

  Result<> start_ready_steps() {
    for (size_t i = 0; i < plan_.steps.size() && !failed_ && !stopping_ && running_.size() < most_parallel();
         ++i)
      if (is_ready(i)) TRY(start_step(i));
    return {};
  }

  void wait_for_something() {
    std::vector<pollfd> fds;
    for (const auto& step : running_) fds.push_back({step.process.pidfd(), POLLIN, 0});
    if (!stopping_ && interrupt_fd() >= 0) fds.push_back({interrupt_fd(), POLLIN, 0});
    poll(fds.data(), fds.size(), static_cast<int>(kTick.count()));
  }

  Result<> handle_exits() {
    for (auto it = running_.begin(); it != running_.end();) {
      auto exit = it->process.wait_for(milliseconds(0));
      if (!exit) {
        ++it;
        continue;
      }
      RunningStep step = std::move(*it);
      it = running_.erase(it);
      TRY(finish_step(step, *exit));
    }
    return {};
  }

  void stop_step(RunningStep& step, StepState state, std::string reason) {
    if (step.kill_at) return;
    step.stop_state = state;
    step.stop_reason = std::move(reason);
    step.kill_at = steady_clock::now() + options_.kill_grace;
    step.process.signal_group(SIGTERM);
  }

  void stop_all() {
    stopping_ = true;
    for (auto& step : running_) stop_step(step, StepState::kKilled, "interrupted");
  }

  void enforce_deadlines() {
    auto now = steady_clock::now();
    for (auto& step : running_) {
      const auto& timeout = plan_.steps[step.index].timeout;
      if (step.deadline && now > *step.deadline)
        stop_step(step, StepState::kFailed,
                  fmt::format("did not end within its timeout of {} s", timeout->count()));
      if (step.kill_at && now > *step.kill_at) step.process.signal_group(SIGKILL);
    }
  }

  void report_progress() {
    for (auto& step : running_) {
      auto progress = read_progress(step.progress_file);
      if (!progress || progress->seconds == step.shown_seconds) continue;
      step.shown_seconds = progress->seconds;
      listener_(StepProgress{plan_.steps[step.index].name, progress->label, progress->unit, progress->note,
                             progress->done, progress->total, progress->seconds});
    }
  }

  // --- One step ---

  Result<> mark(size_t index, StepState state) {
    outcome_.steps[index].state = state;
    if (!is_pipeline()) return {};
    return store_.set_tag(outcome_.run_id, "tidemill.step." + plan_.steps[index].name, to_string(state));
  }

  pipeline::Scope scope() {
    return {.run_id = outcome_.run_id,
            .artifacts = artifacts_.string(),
            .experiment_id = outcome_.experiment_id,
            .step = [this](const std::string& name) -> const pipeline::StepResult* {
              for (size_t i = 0; i < plan_.steps.size(); ++i)
                if (plan_.steps[i].name == name) return &results_[i];
              return nullptr;
            }};
  }

  Result<tracking::Run> create_step_run(size_t index) {
    const auto& step = plan_.steps[index];
    std::vector<KeyValue> tags = source_tags(step.project.folder, step.entry.name);
    tags.emplace_back("tidemill.step", step.name);
    if (is_pipeline()) tags.emplace_back("mlflow.parentRunId", outcome_.run_id);
    bool named = !is_pipeline() && !options_.run_name.empty();
    return create_run(named ? options_.run_name : is_pipeline() ? step.name : "", std::move(tags));
  }

  Result<> start_step(size_t index) {
    const auto& step = plan_.steps[index];
    tracking::Run run = TRY(create_step_run(index));
    outcome_.steps[index].run_id = run.info.id;
    if (!is_pipeline()) outcome_.run_id = run.info.id;
    TRY(mark(index, StepState::kRunning));
    fs::path artifacts = TRY(local_folder(run));
    if (!is_pipeline()) artifacts_ = artifacts;
    results_[index] = {run.info.id, artifacts.string(),
                       [this, id = run.info.id](const std::string& key) -> std::optional<std::string> {
                         auto logged = store_.run(id);
                         auto value = logged ? logged->metric(key) : std::nullopt;
                         return value ? std::optional(fmt::format("{}", *value)) : std::nullopt;
                       }};
    fs::path log = artifacts_ / "logs" / (step.name + ".log");
    TRY(make_dirs(log.parent_path()));

    auto command = prepare(step, results_[index], run);
    auto process = command ? launch(index, *command, log) : tl::unexpected<Error>(command.error());
    if (!process) return fail_to_start(index, process.error(), log);
    listener_(StepStarted{step.name, run.info.id, process->command, log, artifacts});
    running_.push_back(std::move(*process));
    return {};
  }

  // Resolves references, logs the parameters, and makes the command.
  Result<std::string> prepare(const pipeline::PlannedStep& step, const pipeline::StepResult& self,
                              const tracking::Run& run) {
    config::Arguments given = TRY(pipeline::resolve(plan_, step, self, scope()));
    config::Arguments complete =
        TRY(config::complete_arguments(step.entry, given, is_pipeline() ? plan_.folder : fs::current_path()));
    TRY(store_.log_batch(run.info.id, {.metrics = {}, .params = complete, .tags = {}}));
    return config::command_line(step.entry, complete);
  }

  Result<RunningStep> launch(size_t index, const std::string& command, const fs::path& log) {
    const auto& step = plan_.steps[index];
    fs::path progress = scratch_->path() / fmt::format("{}.progress", index);
    const char* path = std::getenv("PATH");
    ProcessOptions process{.argv = {"bash", "-c", command},
                           .working_dir = step.project.folder,
                           .extra_env = options_.extra_env,
                           .unset_env = {"MLFLOW_EXPERIMENT_NAME", "TIDEMILL_PROGRESS"},
                           .output_file = log};
    auto& env = process.extra_env;
    env["MLFLOW_TRACKING_URI"] = options_.tracking_uri;
    env["MLFLOW_RUN_ID"] = results_[index].run_id;
    env["MLFLOW_EXPERIMENT_ID"] = outcome_.experiment_id;
    env["TIDEMILL_STEP"] = step.name;
    env["TIDEMILL_OUTPUT_DIR"] = results_[index].artifacts;
    env["TIDEMILL_PROGRESS_FILE"] = progress.string();
    if (!options_.program_dir.empty())
      env["PATH"] =
          options_.program_dir.string() + ":" + (path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
    RunningStep running{.index = index,
                        .process = TRY(Process::start(process)),
                        .command = command,
                        .log = log,
                        .progress_file = progress};
    guard_->add(running.process.pid());
    if (step.timeout) running.deadline = steady_clock::now() + *step.timeout;
    return running;
  }

  Result<> fail_to_start(size_t index, const Error& error, const fs::path& log) {
    StepFinished event{.step = plan_.steps[index].name,
                       .run_id = outcome_.steps[index].run_id,
                       .state = StepState::kFailed,
                       .reason = error.message,
                       .log = log};
    return settle(index, event);
  }

  Result<> finish_step(RunningStep& step, const Exit& exit) {
    guard_->remove(step.process.pid());
    step.process.signal_group(SIGKILL);  // what a step leaves running in its group ends with it
    StepFinished event{.step = plan_.steps[step.index].name,
                       .run_id = outcome_.steps[step.index].run_id,
                       .seconds = step.watch.seconds(),
                       .log = step.log};
    if (step.kill_at) {
      event.state = step.stop_state;
      event.reason = step.stop_reason;
    } else if (!exit.ok()) {
      event.state = StepState::kFailed;
      event.reason = exit.describe();
    } else {
      TRY(check_own_verdict(event));
    }
    if (event.state == StepState::kFailed) {
      event.command = step.command;
      event.last_lines = last_lines(step.log, 20);
    }
    TRY(record_outputs(step.index, event));
    TRY(store_.log_batch(event.run_id,
                         {.metrics = usage_metrics(exit, event.seconds), .params = {}, .tags = {}}));
    return settle(step.index, event);
  }

  // A program may end its run itself; when it says FAILED, its exit status 0 does not make it a success.
  Result<> check_own_verdict(StepFinished& event) {
    RunStatus status = TRY(store_.run(event.run_id)).info.status;
    if (status != RunStatus::kFailed && status != RunStatus::kKilled) return {};
    event.state = StepState::kFailed;
    event.reason = fmt::format("its program ended the run as {}", tracking::to_string(status));
    return {};
  }

  Result<> record_outputs(size_t index, StepFinished& event) {
    auto files = index_artifacts(results_[index].artifacts);
    if (!files)
      return fail(files.error().code, "the outputs of step '{}' cannot be recorded: {}", event.step,
                  files.error().message);
    event.artifact_count = files->size();
    for (const auto& file : *files) event.artifact_bytes += file.size;
    return store_.record_artifacts(event.run_id, *files);
  }

  static std::vector<tracking::Metric> usage_metrics(const Exit& exit, double seconds) {
    int64_t now = now_ms();
    return {{"system/step_seconds", seconds, now, 0},
            {"system/step_cpu_seconds", exit.user_seconds + exit.system_seconds, now, 0},
            {"system/step_memory_megabytes", static_cast<double>(exit.max_resident_bytes) / 1e6, now, 0}};
  }

  // The end of a step: in the store first, then to the listener.
  Result<> settle(size_t index, const StepFinished& event) {
    outcome_.steps[index].seconds = event.seconds;
    if (!event.reason.empty()) TRY(store_.set_tag(event.run_id, "tidemill.failure", event.reason));
    TRY(store_.update_run(
        {.run_id = event.run_id, .status = run_status(event.state), .end_time = now_ms(), .name = {}}));
    TRY(mark(index, event.state));
    failed_ = failed_ || event.state == StepState::kFailed;
    listener_(event);
    return {};
  }

  Result<> skip_the_rest() {
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      if (outcome_.steps[i].state != StepState::kWaiting) continue;
      TRY(mark(i, StepState::kSkipped));
      listener_(StepFinished{
          .step = plan_.steps[i].name, .run_id = "", .state = StepState::kSkipped, .reason = skip_reason(i)});
    }
    return {};
  }

  std::string skip_reason(size_t index) const {
    if (stopping_) return "interrupted";
    for (size_t need : plan_.steps[index].needs)
      if (outcome_.steps[need].state != StepState::kFinished)
        return fmt::format("needs {}, which {}", plan_.steps[need].name,
                           outcome_.steps[need].state == StepState::kSkipped ? "was skipped" : "failed");
    return "another step failed";
  }

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const Options& options_;
  const Listener& listener_;
  Shape shape_;
  Stopwatch watch_;
  Outcome outcome_;
  std::vector<pipeline::StepResult> results_;
  std::optional<ProcessGuard> guard_;
  std::optional<TempDir> scratch_;  // progress files
  fs::path artifacts_;              // of the parent run
  std::list<RunningStep> running_;
  bool failed_ = false, stopping_ = false;
};

}  // namespace

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

Result<Outcome> execute(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                        const Listener& listener) {
  return Execution(plan, store, options, listener, Execution::Shape::kPipeline).run();
}

Result<Outcome> execute_project(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                                const Listener& listener) {
  return Execution(plan, store, options, listener, Execution::Shape::kProject).run();
}

}  // namespace tidemill::engine
