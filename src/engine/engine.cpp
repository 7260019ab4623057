#include "engine/engine.h"

#include <cstdlib>
#include <map>
#include <thread>

#include "base/text.h"
#include "base/time.h"
#include "engine/file_tree.h"
#include "engine/key_locks.h"
#include "engine/record.h"
#include "engine/scheduler.h"
#include "engine/step_cache.h"
#include "engine/step_check.h"
#include "engine/supervisor.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::engine {
namespace {

using std::chrono::milliseconds;
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
    case StepState::kReused:
      return RunStatus::kFinished;
    case StepState::kKilled:
      return RunStatus::kKilled;
    default:
      return RunStatus::kFailed;
  }
}

size_t most_parallel(const pipeline::Plan& plan, const Options& options) {
  int limit = options.max_parallel > 0 ? options.max_parallel : plan.max_parallel;
  return limit > 0 ? static_cast<size_t>(limit) : std::max(1u, std::thread::hardware_concurrency());
}

fs::path hash_folder(const Options& options) {
  return options.state_dir.empty() ? fs::path() : options.state_dir / "hashes";
}

// A step that is recorded as running.
struct Attempt {
  StepRun run;
  Decision decision;
  std::string command;
  std::map<std::string, std::string> variables;
  fs::path log, progress_file;
  double shown_seconds = -1;
};

class Execution {
 public:
  Execution(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
            const Listener& listener, Shape shape)
      : plan_(plan),
        store_(store),
        options_(options),
        listener_(listener),
        scheduler_(plan, most_parallel(plan, options)),
        record_(plan, store, options, listener, shape),
        hashes_(hash_folder(options)),
        cache_(plan, store, hashes_, options),
        results_(plan.steps.size()) {
    for (const auto& step : plan.steps) outcome_.steps.push_back({step.name, "", StepState::kWaiting, 0});
  }

  Result<Outcome> run() {
    for (const auto& step : plan_.steps) TRY(check_step(plan_, step, options_));
    supervisor_.emplace(TRY(Supervisor::start(options_.kill_grace)));
    scratch_.emplace(TRY(TempDir::create()));
    locks_.emplace(
        TRY(KeyLocks::open((options_.state_dir.empty() ? scratch_->path() : options_.state_dir) / "locks")));
    TRY(record_.begin());
    auto done = loop();
    if (!done) abandon();
    supervisor_->end_all();
    TRY(std::move(done));
    TRY(end());
    return outcome_;
  }

 private:
  // Start what can start, wait for one thing to happen, handle it. What has ended and what starts next are
  // recorded together.
  Result<> loop() {
    for (;;) {
      std::vector<size_t> starting = TRY(begin_ready_steps());
      TRY(commit());
      for (size_t step : starting) TRY(launch(step));
      if (scheduler_.running() == 0 && waiting_for_key_.empty()) break;
      for (const Ended& ended : supervisor_->wait(kTick)) TRY(finish_step(ended));
      if (interrupted() && !stopping_) stop_all();
      report_progress();
    }
    return skip_the_rest();
  }

  void stop_all() {
    stopping_ = true;
    scheduler_.halt();
    waiting_for_key_.clear();
    supervisor_->stop_all();
  }

  Result<> end() {
    bool killed = stopping_, failed = false;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      outcome_.steps[i].state = scheduler_.state(i);
      killed = killed || scheduler_.state(i) == StepState::kKilled;
      failed = failed || scheduler_.state(i) == StepState::kFailed;
    }
    outcome_.run_id = record_.run_id();
    outcome_.experiment_id = record_.experiment_id();
    outcome_.status = failed ? RunStatus::kFailed : killed ? RunStatus::kKilled : RunStatus::kFinished;
    outcome_.seconds = watch_.seconds();
    return record_.end(outcome_.status, outcome_.seconds);
  }

  // The store refused in the middle of the run: stop what runs and say in the store what can be said.
  void abandon() {
    supervisor_->end_all();
    auto mark_failed = [this](const std::string& run_id) {
      (void)store_.update_run(
          {.run_id = run_id, .status = RunStatus::kFailed, .end_time = now_ms(), .name = {}});
    };
    for (const auto& [step, attempt] : attempts_) mark_failed(attempt.run.id);
    if (record_.is_pipeline()) mark_failed(record_.run_id());
  }

  void report_progress() {
    for (auto& [step, attempt] : attempts_) {
      auto progress = read_progress(attempt.progress_file);
      if (!progress || progress->seconds == attempt.shown_seconds) continue;
      attempt.shown_seconds = progress->seconds;
      listener_(StepProgress{plan_.steps[step].name, progress->label, progress->unit, progress->note,
                             progress->done, progress->total, progress->seconds});
    }
  }

  // --- One step ---

  pipeline::Scope scope() {
    return {.run_id = record_.run_id(),
            .artifacts = record_.artifacts().string(),
            .experiment_id = record_.experiment_id(),
            .step = [this](const std::string& name) -> const pipeline::StepResult* {
              auto index = plan_.index(name);
              return index ? &results_[*index] : nullptr;
            }};
  }

  // Records what is reused and what runs, and returns the steps that are to be launched once that is on disk.
  Result<std::vector<size_t>> begin_ready_steps() {
    for (size_t step : std::exchange(waiting_for_key_, {})) scheduler_.enqueue(step);
    std::vector<size_t> starting;
    TRY(reuse_what_is_known());
    while (auto step = scheduler_.next()) {
      if (TRY(begin_step(*step))) starting.push_back(*step);
      TRY(reuse_what_is_known());
    }
    return starting;
  }

  Result<> reuse_what_is_known() {
    for (auto ready = scheduler_.take_ready(); !ready.empty(); ready = scheduler_.take_ready()) {
      std::vector<Decision> decisions = TRY(cache_.decide(ready));
      for (size_t i = 0; i < ready.size(); ++i) {
        if (decisions[i].what == Decision::What::kReuse) {
          TRY(reuse_step(ready[i], decisions[i]));
        } else {
          scheduler_.enqueue(ready[i]);
        }
      }
    }
    return {};
  }

  // Whether the step is to be launched; it may also have become known meanwhile, or be made by another run
  // just now, or be impossible.
  Result<bool> begin_step(size_t index) {
    Decision decision = cache_.key_now(index);
    if (!decision.key.empty() && !locks_->try_lock(decision.key)) {
      scheduler_.put_back(index);
      waiting_for_key_.push_back(index);
      return false;
    }
    TRY(cache_.decide(index, decision));
    if (decision.what == Decision::What::kReuse) {
      locks_->unlock(decision.key);
      TRY(reuse_step(index, decision));
      return false;
    }
    Attempt attempt{.run = TRY(record_.begin_step(index, decision)), .decision = std::move(decision)};
    outcome_.steps[index].run_id = attempt.run.id;
    attempt.log = record_.artifacts() / "logs" / (plan_.steps[index].name + ".log");
    attempt.progress_file = scratch_->path() / fmt::format("{}.progress", index);
    TRY(make_dirs(attempt.log.parent_path()));
    auto command = prepare(plan_.steps[index], result_of(index, attempt.run.id, attempt.run.artifacts));
    if (!command) {
      TRY(settle_unstarted(index, attempt, command.error()));
      return false;
    }
    attempt.command = std::move(*command);
    if (auto variables = resolve_variables(index, attempt)) {
      attempt.variables = std::move(*variables);
    } else {
      TRY(settle_unstarted(index, attempt, variables.error()));
      return false;
    }
    record_.tell(StepStarted{plan_.steps[index].name, attempt.run.id, attempt.decision.reason,
                             attempt.command, attempt.log, attempt.run.artifacts});
    attempts_.emplace(index, std::move(attempt));
    return true;
  }

  Result<> reuse_step(size_t index, const Decision& decision) {
    outcome_.steps[index].run_id = TRY(record_.reuse_step(index, decision));
    learn(index, decision.result);
    scheduler_.settle(index, StepState::kReused);
    record_.tell(StepFinished{.step = plan_.steps[index].name,
                              .run_id = outcome_.steps[index].run_id,
                              .state = StepState::kReused,
                              .reason = decision.reason,
                              .reused_run = decision.result.run_id,
                              .command = {},
                              .log = {},
                              .last_lines = {}});
    return {};
  }

  pipeline::StepResult result_of(size_t index, const std::string& run_id, const fs::path& artifacts) const {
    return {run_id, artifacts.string(),
            [this, index](const std::string& key) { return cache_.metric(index, key); }};
  }

  void learn(size_t index, KnownResult result) {
    results_[index] = result_of(index, result.run_id, result.artifacts);
    cache_.learn(index, std::move(result));
  }

  // Resolves references, logs the parameters, and makes the command.
  Result<std::string> prepare(const pipeline::PlannedStep& step, const pipeline::StepResult& self) {
    config::Arguments given = TRY(pipeline::resolve(plan_, step, self, scope()));
    config::Arguments complete = TRY(config::complete_arguments(
        step.entry, given, record_.is_pipeline() ? plan_.folder : fs::current_path()));
    std::string command = TRY(config::command_line(step.entry, complete));
    record_.add(tracking::LogBatch{self.run_id, {.metrics = {}, .params = std::move(complete), .tags = {}}});
    return command;
  }

  Result<std::map<std::string, std::string>> resolve_variables(size_t index, const Attempt& attempt) {
    std::map<std::string, std::string> variables;
    for (const auto& variable : plan_.steps[index].settings.environment)
      if (variable.value)
        variables[variable.name] = TRY(pipeline::resolve(
            plan_, *variable.value, result_of(index, attempt.run.id, attempt.run.artifacts), scope()));
    return variables;
  }

  ProcessOptions process_options(size_t index, const Attempt& attempt) const {
    const auto& step = plan_.steps[index];
    const char* path = std::getenv("PATH");
    ProcessOptions process{.argv = {"bash", "-c", attempt.command},
                           .working_dir = step.project.folder,
                           .extra_env = options_.extra_env,
                           .unset_env = {"MLFLOW_EXPERIMENT_NAME", "TIDEMILL_PROGRESS"},
                           .output_file = attempt.log};
    auto& env = process.extra_env;
    for (const auto& [name, value] : attempt.variables) env[name] = value;
    env["MLFLOW_TRACKING_URI"] = options_.tracking_uri;
    env["MLFLOW_RUN_ID"] = attempt.run.id;
    env["MLFLOW_EXPERIMENT_ID"] = record_.experiment_id();
    env["TIDEMILL_STEP"] = step.name;
    env["TIDEMILL_OUTPUT_DIR"] = attempt.run.artifacts.string();
    env["TIDEMILL_PROGRESS_FILE"] = attempt.progress_file.string();
    if (!options_.program_dir.empty())
      env["PATH"] =
          options_.program_dir.string() + ":" + (path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
    return process;
  }

  Result<> launch(size_t index) {
    const Attempt& attempt = attempts_.at(index);
    auto launched =
        supervisor_->launch(index, process_options(index, attempt), plan_.steps[index].settings.timeout);
    if (launched) return {};
    Attempt failed = attempt;
    attempts_.erase(index);
    return settle_unstarted(index, failed, launched.error());
  }

  Result<> settle_unstarted(size_t index, const Attempt& attempt, const Error& error) {
    return settle(index, attempt,
                  {.step = plan_.steps[index].name,
                   .run_id = attempt.run.id,
                   .state = StepState::kFailed,
                   .reason = error.message,
                   .reused_run = {},
                   .command = {},
                   .log = attempt.log,
                   .last_lines = {}});
  }

  Result<> finish_step(const Ended& ended) {
    Attempt attempt = std::move(attempts_.extract(ended.step).mapped());
    StepFinished event{.step = plan_.steps[ended.step].name,
                       .run_id = attempt.run.id,
                       .seconds = ended.seconds,
                       .reason = {},
                       .reused_run = {},
                       .command = {},
                       .log = attempt.log,
                       .last_lines = {}};
    TRY(judge(ended, event));
    if (event.state == StepState::kFailed) {
      event.command = attempt.command;
      event.last_lines = last_lines(attempt.log, 20);
    }
    std::string outputs = TRY(record_outputs(attempt, event));
    record_.add(tracking::LogBatch{
        event.run_id, {.metrics = usage_metrics(ended.exit, event.seconds), .params = {}, .tags = {}}});
    if (event.state == StepState::kFinished) keep_result(ended.step, attempt, std::move(outputs));
    return settle(ended.step, attempt, std::move(event));
  }

  void keep_result(size_t index, const Attempt& attempt, std::string outputs) {
    // What was changed while the step ran may have been read before or after: its result belongs to no key.
    const std::string& key = attempt.decision.key;
    if (!key.empty() && options_.cache.write == CachePolicy::Use::kYes && cache_.key_now(index).key == key)
      record_.add(tracking::StepResult{key, attempt.run.id, outputs});
    learn(index, {attempt.run.id, attempt.run.artifacts, "", std::move(outputs)});
  }

  // How it ended, and why.
  Result<> judge(const Ended& ended, StepFinished& event) {
    if (ended.stopped == StopCause::kInterrupt) {
      event.state = StepState::kKilled;
      event.reason = "interrupted";
    } else if (ended.stopped == StopCause::kTimeout) {
      event.state = StepState::kFailed;
      event.reason = fmt::format("did not end within its timeout of {} s",
                                 plan_.steps[ended.step].settings.timeout->count());
    } else if (!ended.exit.ok()) {
      event.state = StepState::kFailed;
      event.reason = ended.exit.describe();
    } else {
      return check_own_verdict(event);
    }
    return {};
  }

  // A program may end its run itself; when it says FAILED, its exit status 0 does not make it a success.
  Result<> check_own_verdict(StepFinished& event) {
    RunStatus status = TRY(store_.run(event.run_id)).info.status;
    if (status != RunStatus::kFailed && status != RunStatus::kKilled) return {};
    event.state = StepState::kFailed;
    event.reason = fmt::format("its program ended the run as {}", tracking::to_string(status));
    return {};
  }

  // Returns the digest of what it has written.
  Result<std::string> record_outputs(const Attempt& attempt, StepFinished& event) {
    auto tree = hashes_.tree(attempt.run.artifacts);
    if (!tree)
      return fail(tree.error().code, "the outputs of step '{}' cannot be recorded: {}", event.step,
                  tree.error().message);
    event.artifact_count = tree->files.size();
    event.artifact_bytes = tree->bytes();
    record_.add(tracking::RecordArtifacts{event.run_id, std::move(tree->files)});
    return std::move(tree->digest);
  }

  static std::vector<tracking::Metric> usage_metrics(const Exit& exit, double seconds) {
    int64_t now = now_ms();
    return {{"system/step_seconds", seconds, now, 0},
            {"system/step_cpu_seconds", exit.user_seconds + exit.system_seconds, now, 0},
            {"system/step_memory_megabytes", static_cast<double>(exit.max_resident_bytes) / 1e6, now, 0}};
  }

  Result<> settle(size_t index, const Attempt& attempt, StepFinished event) {
    outcome_.steps[index].seconds = event.seconds;
    if (!event.reason.empty())
      record_.add(tracking::LogBatch{
          event.run_id, {.metrics = {}, .params = {}, .tags = {{"tidemill.failure", event.reason}}}});
    record_.add(tracking::UpdateRun{
        .run_id = event.run_id, .status = run_status(event.state), .end_time = now_ms(), .name = {}});
    record_.set_state(index, event.state, attempt.run.id, attempt.decision);
    scheduler_.settle(index, event.state);
    if (event.state == StepState::kFailed) scheduler_.halt();
    if (!attempt.decision.key.empty()) settled_keys_.push_back(attempt.decision.key);
    record_.tell(std::move(event));
    return {};
  }

  // Those who wait for a key may look only after its result is on disk.
  Result<> commit() {
    TRY(record_.commit());
    for (const auto& key : std::exchange(settled_keys_, {})) locks_->unlock(key);
    return {};
  }

  Result<> skip_the_rest() {
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      if (scheduler_.state(i) != StepState::kWaiting) continue;
      std::string reason = stopping_ ? "interrupted" : scheduler_.skip_reason(i);
      scheduler_.settle(i, StepState::kSkipped);
      record_.set_state(i, StepState::kSkipped, "", {.reason = reason});
      record_.tell(StepFinished{.step = plan_.steps[i].name,
                                .run_id = "",
                                .state = StepState::kSkipped,
                                .reason = std::move(reason),
                                .reused_run = {},
                                .command = {},
                                .log = {},
                                .last_lines = {}});
    }
    return {};
  }

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const Options& options_;
  const Listener& listener_;
  Scheduler scheduler_;
  Record record_;
  FileHashes hashes_;
  StepCache cache_;
  std::optional<KeyLocks> locks_;
  std::vector<std::string> settled_keys_;  // of what has ended since the last commit
  std::vector<size_t> waiting_for_key_;    // another run, or another step, makes the same just now
  Stopwatch watch_;
  Outcome outcome_;
  std::vector<pipeline::StepResult> results_;
  std::optional<Supervisor> supervisor_;
  std::optional<TempDir> scratch_;  // progress files
  std::map<size_t, Attempt> attempts_;
  bool stopping_ = false;
};

}  // namespace

Result<Outcome> execute(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                        const Listener& listener) {
  return Execution(plan, store, options, listener, Shape::kPipeline).run();
}

Result<Outcome> execute_project(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                                const Listener& listener) {
  Options always = options;
  always.cache = {.read = CachePolicy::Use::kNo, .write = CachePolicy::Use::kNo, .forced = {}};
  return Execution(plan, store, always, listener, Shape::kProject).run();
}

Result<std::vector<Foreseen>> foresee(const pipeline::Plan& plan, tracking::Store* store,
                                      const Options& options) {
  using What = Foreseen::What;
  std::vector<Foreseen> all;
  FileHashes hashes(hash_folder(options));
  std::optional<StepCache> cache;
  if (store != nullptr) cache.emplace(plan, *store, hashes, options);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto& step = plan.steps[i];
    auto unknown = std::find_if(step.needs.begin(), step.needs.end(),
                                [&](size_t need) { return all[need].what != What::kReuse; });
    if (!cache) {
      all.push_back({step.name, What::kRun, "it has not run before"});
    } else if (unknown != step.needs.end()) {
      all.push_back(
          {step.name, What::kDepends, fmt::format("depends on what {} makes", plan.steps[*unknown].name)});
    } else {
      Decision decision = TRY(cache->decide({i}))[0];
      bool reused = decision.what == Decision::What::kReuse;
      all.push_back({step.name, reused ? What::kReuse : What::kRun, decision.reason});
      if (reused) cache->learn(i, decision.result);
    }
  }
  return all;
}

}  // namespace tidemill::engine
