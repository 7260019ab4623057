#include "engine/engine.h"

#include <map>
#include <set>
#include <thread>

#include "base/text.h"
#include "base/time.h"
#include "engine/attempt.h"
#include "engine/command_maker.h"
#include "engine/file_tree.h"
#include "engine/key_locks.h"
#include "engine/machine.h"
#include "engine/masked_log.h"
#include "engine/record.h"
#include "engine/retries.h"
#include "engine/scheduler.h"
#include "engine/step_cache.h"
#include "engine/step_check.h"
#include "engine/supervisor.h"
#include "engine/verdict.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::engine {
namespace {

using config::Phase;
using std::chrono::milliseconds;
using tracking::RunStatus;

constexpr milliseconds kTick{200};

size_t most_parallel(const pipeline::Plan& plan, const Options& options) {
  int limit = options.max_parallel > 0 ? options.max_parallel : plan.max_parallel;
  return limit > 0 ? static_cast<size_t>(limit) : std::max(1u, std::thread::hardware_concurrency());
}

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
        hashes_(options.hash_folder()),
        cache_(plan, store, hashes_, options),
        commands_(plan, options, record_, cache_),
        retries_(options.random) {
    for (const auto& step : plan.steps) outcome_.steps.push_back({step.name, "", StepState::kWaiting, 0});
  }

  Result<Outcome> run() {
    for (const auto& step : plan_.steps) {
      TRY(check_step(plan_, step));
      TRY(check_here(plan_, step, options_));
    }
    supervisor_.emplace(TRY(Supervisor::start(options_.kill_grace)));
    scratch_.emplace(TRY(TempDir::create()));
    locks_.emplace(
        TRY(KeyLocks::open((options_.state_dir.empty() ? scratch_->path() : options_.state_dir) / "locks")));
    if (std::any_of(plan_.steps.begin(), plan_.steps.end(),
                    [](const auto& step) { return !step.settings.resources.empty(); }))
      machine_.emplace(TRY(MachineShare::open(
          options_.machine ? *options_.machine : this_machine(),
          options_.machine_file.empty() ? scratch_->path() / "machine" : options_.machine_file)));
    TRY(record_.begin());
    auto done = run_phases();
    if (!done) abandon();
    supervisor_->end_all();
    TRY(std::move(done));
    TRY(end());
    return outcome_;
  }

 private:
  // The steps, and then those that wait for the end of the run.
  Result<> run_phases() {
    TRY(loop(Phase::kMain));
    if (std::all_of(plan_.steps.begin(), plan_.steps.end(),
                    [](const auto& step) { return step.phase == Phase::kMain; }))
      return {};
    std::vector<std::string> failed;
    for (size_t i = 0; i < plan_.steps.size(); ++i)
      if (has_failed(i)) failed.push_back(plan_.steps[i].name);
    std::string state = stopping_ ? "interrupted" : failed.empty() ? "succeeded" : "failed";
    commands_.note_run(state, join(failed, ", "));
    for (Phase phase : {Phase::kOnSuccess, Phase::kOnFailure, Phase::kFinally}) {
      if (phase == Phase::kFinally || state == (phase == Phase::kOnSuccess ? "succeeded" : "failed")) {
        scheduler_.open(phase);
        TRY(loop(phase));
      }
      skip_the_rest(phase, state == "interrupted" ? state : "the run has " + state);
    }
    return {};
  }

  // Start what can start, wait for one thing to happen, handle it. What has ended and what starts next are
  // recorded together.
  Result<> loop(Phase phase) {
    for (;;) {
      std::vector<size_t> starting = TRY(begin_ready_steps());
      TRY(commit());
      for (size_t step : starting) TRY(launch(step));
      if (starting.empty() && scheduler_.running() == 0 && waiting_.empty() && retries_.empty()) break;
      for (const Ended& ended : supervisor_->wait(retries_.until_next(kTick))) TRY(finish_step(ended));
      if (interrupted() && !stopping_) stop_all();
      if (scheduler_.ending()) give_up_retries();
      report_progress();
    }
    skip_the_rest(phase, stopping_ ? "interrupted" : "another step failed");
    return {};
  }

  void stop_all() {
    stopping_ = true;
    scheduler_.halt();
    waiting_.clear();
    supervisor_->stop_all();
  }

  bool has_failed(size_t step) const {
    return scheduler_.state(step) == StepState::kFailed && !plan_.steps[step].settings.allow_failure;
  }

  Result<> end() {
    bool killed = stopping_, failed = false;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      outcome_.steps[i].state = scheduler_.state(i);
      killed = killed || scheduler_.state(i) == StepState::kKilled;
      failed = failed || has_failed(i);
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

  // Records what is reused and what runs, and returns the steps that are to be launched once that is on disk.
  Result<std::vector<size_t>> begin_ready_steps() {
    for (size_t step : std::exchange(waiting_, {})) scheduler_.enqueue(step);
    no_room_.clear();
    for (size_t step : retries_.due(std::chrono::steady_clock::now())) scheduler_.enqueue(step);
    std::vector<size_t> starting;
    TRY(reuse_what_is_known());
    while (auto step = scheduler_.next()) {
      if (TRY(begin_step(*step))) starting.push_back(*step);
      TRY(reuse_what_is_known());
    }
    return starting;
  }

  Result<> reuse_what_is_known() {
    skip_what_is_blocked();
    for (auto ready = TRY(take_wanted()); !ready.empty(); ready = TRY(take_wanted())) {
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

  // What is ready, without the steps whose conditions do not hold: those are skipped.
  Result<std::vector<size_t>> take_wanted() {
    std::vector<size_t> ready, wanted;
    do {
      ready = scheduler_.take_ready();
      for (size_t step : ready) {
        if (plan_.steps[step].settings.when) TRY(commit());  // it may ask for what has just been recorded
        auto condition = commands_.condition(step);
        if (!condition) {
          TRY(fail_unstarted(step, condition.error()));
        } else if (!condition->holds) {
          skip(step, "its condition does not hold: " + condition->shown);
        } else {
          wanted.push_back(step);
        }
      }
      skip_what_is_blocked();
    } while (wanted.empty() && !ready.empty());
    return wanted;
  }

  void skip_what_is_blocked() {
    for (auto blocked = scheduler_.take_blocked(); !blocked.empty(); blocked = scheduler_.take_blocked())
      for (size_t step : blocked) skip(step, scheduler_.skip_reason(step));
  }

  // Whether the step is to be launched; it may also have become known meanwhile, or be made by another run
  // just now, or be impossible.
  Result<bool> begin_step(size_t index) {
    const config::Resources& wanted = plan_.steps[index].settings.resources;
    if (no_room_.count(wanted) > 0) return let_wait(index);
    Decision decision = cache_.key_now(index);
    if (!decision.key.empty() && !locks_->try_lock(decision.key)) return let_wait(index);
    TRY(cache_.decide(index, decision));
    if (decision.what == Decision::What::kReuse) {
      locks_->unlock(decision.key);
      TRY(reuse_step(index, decision));
      return false;
    }
    std::optional<Grant> grant = wanted.empty() ? Grant{} : machine_->try_take(wanted);
    if (!grant) {
      no_room_.insert(wanted);
      locks_->unlock(decision.key);
      return let_wait(index);
    }
    int number = 1;
    if (auto failed = failed_.find(index); failed != failed_.end()) {
      number = failed->second.run.attempt + 1;
      decision.reason = fmt::format("attempt {}, after {}", number, failed->second.reason);
    }
    Attempt attempt{.run = TRY(record_.begin_step(index, decision, number)), .decision = std::move(decision)};
    outcome_.steps[index].run_id = attempt.run.id;
    outcome_.steps[index].attempts = number;
    attempt.log = log_of(index, number);
    attempt.gpus = grant->gpus;
    grants_.insert_or_assign(index, std::move(*grant));
    attempt.progress_file = scratch_->path() / fmt::format("{}.progress", index);
    TRY(make_dirs(attempt.log.parent_path()));
    if (auto prepared = commands_.prepare(index, attempt); !prepared) {
      TRY(settle_unstarted(index, attempt, prepared.error(), std::nullopt));
      return false;
    }
    record_.tell(StepStarted{plan_.steps[index].name, attempt.run.id, attempt.decision.reason, number,
                             attempt.command, attempt.log, attempt.run.artifacts});
    attempts_.emplace(index, std::move(attempt));
    return true;
  }

  fs::path log_of(size_t step, int attempt) const {
    std::string number = attempt > 1 ? fmt::format(".{}", attempt) : "";
    return record_.artifacts() / "logs" / fmt::format("{}{}.log", plan_.steps[step].name, number);
  }

  bool let_wait(size_t index) {
    scheduler_.put_back(index);
    waiting_.push_back(index);
    return false;
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

  void learn(size_t index, KnownResult result) {
    commands_.learn(index, result.run_id, result.artifacts);
    cache_.learn(index, std::move(result));
  }

  Result<> launch(size_t index) {
    const Attempt& attempt = attempts_.at(index);
    ProcessOptions process = commands_.process_of(index, attempt);
    if (!attempt.secrets.empty()) TRY(mask_log(index, attempt, process));
    auto launched = supervisor_->launch(index, process, plan_.steps[index].settings.timeout);
    if (auto masked = masked_.find(index); masked != masked_.end()) masked->second.close_input();
    if (launched) return {};
    masked_.erase(index);
    Attempt failed = attempt;
    attempts_.erase(index);
    return settle_unstarted(index, failed, launched.error(),
                            config::Failure{config::FailureKind::kInfrastructure});
  }

  Result<> mask_log(size_t index, const Attempt& attempt, ProcessOptions& process) {
    auto log = TRY(MaskedLog::start(attempt.log, attempt.secrets));
    process.output_file.clear();
    process.output_fd = log.input();
    masked_.insert_or_assign(index, std::move(log));
    return {};
  }

  Result<> fail_unstarted(size_t index, const Error& error) {
    Attempt attempt{.run = TRY(record_.begin_step(index, {.reason = "its condition cannot be told"}, 1))};
    outcome_.steps[index].run_id = attempt.run.id;
    return settle_unstarted(index, attempt, error, std::nullopt);
  }

  // failure: nullopt when no attempt can mend it.
  Result<> settle_unstarted(size_t index, const Attempt& attempt, const Error& error,
                            const std::optional<config::Failure>& failure) {
    return settle(index, attempt,
                  {.step = plan_.steps[index].name,
                   .run_id = attempt.run.id,
                   .state = StepState::kFailed,
                   .reason = error.message,
                   .reused_run = {},
                   .command = {},
                   .log = attempt.log,
                   .last_lines = {}},
                  failure);
  }

  Result<> finish_step(const Ended& ended) {
    Attempt attempt = std::move(attempts_.extract(ended.step).mapped());
    masked_.erase(ended.step);  // the log is complete then
    const auto& step = plan_.steps[ended.step];
    Verdict verdict = TRY(judge(ended, step.settings, store_, attempt.run.id));
    StepFinished event{.step = step.name,
                       .run_id = attempt.run.id,
                       .state = verdict.state,
                       .seconds = ended.seconds,
                       .reason = std::move(verdict.reason),
                       .reused_run = {},
                       .command = {},
                       .log = attempt.log,
                       .last_lines = {}};
    if (event.state == StepState::kFailed) {
      event.command = attempt.command;
      event.last_lines = last_lines(attempt.log, 20);
    }
    std::string outputs = TRY(record_outputs(attempt, event));
    record_.add(
        tracking::LogBatch{event.run_id, {.metrics = usage_metrics(ended), .params = {}, .tags = {}}});
    if (event.state == StepState::kFinished) keep_result(ended.step, attempt, std::move(outputs));
    return settle(ended.step, attempt, std::move(event), verdict.failure);
  }

  void keep_result(size_t index, const Attempt& attempt, std::string outputs) {
    // What was changed while the step ran may have been read before or after: its result belongs to no key.
    const std::string& key = attempt.decision.key;
    if (!key.empty() && options_.cache.write == CachePolicy::Use::kYes && cache_.key_now(index).key == key)
      record_.add(tracking::StepResult{key, attempt.run.id, outputs});
    learn(index, {attempt.run.id, attempt.run.artifacts, "", std::move(outputs)});
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

  // Ends the attempt's run; and the step, unless it is tried again.
  Result<> settle(size_t index, const Attempt& attempt, StepFinished event,
                  const std::optional<config::Failure>& failure) {
    if (auto grant = grants_.extract(index); grant && machine_) machine_->give_back(grant.mapped());
    outcome_.steps[index].seconds = event.seconds;
    event.attempt = attempt.run.attempt;
    std::vector<tracking::KeyValue> tags;
    if (!event.reason.empty()) tags.emplace_back("tidemill.failure", event.reason);
    if (failure) tags.emplace_back("tidemill.failure_kind", to_string(failure->kind));
    record_.add(tracking::LogBatch{event.run_id, {.metrics = {}, .params = {}, .tags = std::move(tags)}});
    record_.add(tracking::UpdateRun{
        .run_id = event.run_id, .status = run_status(event.state), .end_time = now_ms(), .name = {}});
    if (!attempt.decision.key.empty()) settled_keys_.push_back(attempt.decision.key);
    if (try_again(index, attempt, event, failure)) return {};
    record_.set_state(index, event.state, attempt.run, attempt.decision);
    scheduler_.settle(index, event.state);
    bool matters = event.state == StepState::kFailed && !plan_.steps[index].settings.allow_failure;
    if (matters && options_.after_failure == AfterFailure::kFinish) scheduler_.wind_down();
    if (!succeeded(event.state)) commands_.note(index, event.state);
    record_.tell(std::move(event));
    return {};
  }

  bool try_again(size_t index, const Attempt& attempt, const StepFinished& event,
                 const std::optional<config::Failure>& failure) {
    if (!failure || !scheduler_.is_open_to(index) || !record_.is_pipeline()) return false;
    auto delay = retries_.wait(index, plan_.steps[index].settings.retry, *failure);
    if (!delay) return false;
    scheduler_.put_back(index);
    failed_.insert_or_assign(index, FailedAttempt{attempt.run, attempt.decision, event.reason});
    record_.set_state(index, StepState::kWaiting, attempt.run, attempt.decision);
    record_.tell(AttemptFailed{.step = event.step,
                               .run_id = event.run_id,
                               .attempt = attempt.run.attempt,
                               .kind = std::string(to_string(failure->kind)),
                               .reason = event.reason,
                               .seconds = event.seconds,
                               .wait_seconds = std::chrono::duration<double>(*delay).count(),
                               .log = event.log,
                               .last_lines = event.last_lines});
    return true;
  }

  // Nothing starts any more: the failures of those that wait for another attempt stand.
  void give_up_retries() {
    for (size_t step : retries_.take_all()) {
      const FailedAttempt& failed = failed_.at(step);
      record_.set_state(step, StepState::kFailed, failed.run, failed.decision);
      scheduler_.settle(step, StepState::kFailed);
      commands_.note(step, StepState::kFailed);
      record_.tell(
          StepFinished{.step = plan_.steps[step].name,
                       .run_id = failed.run.id,
                       .state = StepState::kFailed,
                       .attempt = failed.run.attempt,
                       .reason = fmt::format("{}; not tried again, as {}", failed.reason,
                                             stopping_ ? "the run was interrupted" : "another step failed"),
                       .reused_run = {},
                       .command = {},
                       .log = log_of(step, failed.run.attempt),
                       .last_lines = {}});
    }
  }

  // Those who wait for a key may look only after its result is on disk.
  Result<> commit() {
    TRY(record_.commit());
    for (const auto& key : std::exchange(settled_keys_, {})) locks_->unlock(key);
    return {};
  }

  void skip_the_rest(Phase phase, const std::string& reason) {
    for (size_t i = 0; i < plan_.steps.size(); ++i)
      if (plan_.steps[i].phase == phase && scheduler_.state(i) == StepState::kWaiting) {
        std::string need = stopping_ ? "" : scheduler_.skip_reason(i);
        skip(i, need.empty() ? reason : need);
      }
  }

  void skip(size_t index, std::string reason) {
    scheduler_.settle(index, StepState::kSkipped);
    commands_.note(index, StepState::kSkipped);
    record_.set_state(index, StepState::kSkipped, {}, {.reason = reason});
    record_.tell(StepFinished{.step = plan_.steps[index].name,
                              .run_id = "",
                              .state = StepState::kSkipped,
                              .reason = std::move(reason),
                              .reused_run = {},
                              .command = {},
                              .log = {},
                              .last_lines = {}});
  }

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const Options& options_;
  const Listener& listener_;
  Scheduler scheduler_;
  Record record_;
  FileHashes hashes_;
  StepCache cache_;
  CommandMaker commands_;
  std::optional<KeyLocks> locks_;
  std::optional<MachineShare> machine_;
  std::set<config::Resources> no_room_;    // asked for in vain since something has ended
  std::map<size_t, Grant> grants_;         // of the steps that run
  std::map<size_t, MaskedLog> masked_;     // the logs of those that know secrets
  std::vector<std::string> settled_keys_;  // of what has ended since the last commit
  std::vector<size_t> waiting_;  // for somebody who makes the same just now, or for room on the machine
  Stopwatch watch_;
  Outcome outcome_;
  std::optional<Supervisor> supervisor_;
  std::optional<TempDir> scratch_;  // progress files
  std::map<size_t, Attempt> attempts_;
  Retries retries_;
  std::map<size_t, FailedAttempt> failed_;  // the latest of each step that is tried again
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

}  // namespace tidemill::engine
