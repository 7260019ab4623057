#include "engine/execution.h"

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "config/command_code.h"
#include "engine/provenance.h"
#include "engine/step_check.h"
#include "engine/step_watch.h"
#include "engine/unchanged.h"
#include "engine/upkeep.h"
#include "engine/verdict.h"
#include "sys/mask.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using config::Phase;
using std::chrono::milliseconds;
using tracking::RunStatus;

constexpr milliseconds kTick{200};
constexpr double kAskSeconds = 1;  // between two looks at what a step logs

size_t most_parallel(const pipeline::Plan& plan, const Options& options) {
  int limit = options.max_parallel > 0 ? options.max_parallel : plan.max_parallel;
  return limit > 0 ? static_cast<size_t>(limit) : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

Execution::Execution(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                     const Listener& listener, Shape shape)
    : plan_(plan),
      store_(store),
      options_(options),
      listener_(listener),
      scheduler_(plan, most_parallel(plan, options)),
      record_(plan, store, options, listener, shape),
      hashes_(options.hash_folder(), options.own_places),
      cache_(plan, store, hashes_, options),
      commands_(plan, options, record_, cache_),
      validation_(plan, store, options),
      retries_(options.random),
      background_(most_parallel(plan, options)) {
  for (const auto& step : plan.steps) outcome_.steps.push_back({step.name, "", StepState::kWaiting, 0});
}

Result<Outcome> Execution::run(const std::string& earlier_run) {
  for (const auto& step : plan_.steps) {
    TRY(check_step(plan_, step));
    TRY(check_here(plan_, step, options_));
  }
  TRY(cache_.check_standing());
  TRY(set_up());
  TRY(begin(earlier_run));
  auto done = run_phases();
  if (!done) abandon();
  supervisor_.end_all();
  TRY(std::move(done));
  TRY(end());
  return outcome_;
}

Result<> Execution::set_up() {
  if (options_.state_dir.empty()) scratch_.emplace(TRY(TempDir::create()));
  const fs::path state = scratch_ ? scratch_->path() : options_.state_dir;
  locks_.emplace(TRY(KeyLocks::open(state / "locks")));
  if (std::any_of(plan_.steps.begin(), plan_.steps.end(),
                  [](const auto& step) { return !step.settings->resources.empty(); }))
    machine_.emplace(
        TRY(MachineShare::open(options_.machine ? *options_.machine : this_machine(),
                               options_.machine_file.empty() ? state / "machine" : options_.machine_file)));
  if (!options_.shared_cache.empty() && record_.is_pipeline()) {
    shared_.emplace(TRY_IN("the shared cache", SharedCache::open(options_.shared_cache)));
    publisher_.emplace(*shared_, store_);
  }
  attempts_folder_ = attempts_folder(state);
  return make_dirs(attempts_folder_);
}

Result<> Execution::begin(const std::string& earlier_run) {
  snapshot_.emplace(plan_, options_);
  if (earlier_run.empty()) {
    TRY(watch_reliances());
    TRY(record_.begin(plan_.step_names()));
    if (record_.is_pipeline()) locks_->try_lock(record_.run_id());
    return open_checkpoints();
  }
  if (!TRY(take_run(earlier_run)))
    return fail(Code::kConflict, "run {} is still being run; `tidemill cancel {}` ends it", earlier_run,
                earlier_run);
  ends_again_ = TRY(record_.go_on(earlier_run)) == Before::kEnded;
  TRY(open_checkpoints());
  earlier_ = TRY(Earlier::load(plan_, store_, earlier_run, attempts_folder_));
  return find_survivors();
}

Result<> Execution::open_checkpoints() {
  if (can_go_on())
    checkpoints_.emplace(
        TRY(CheckpointFolders::open(checkpoints_folder(options_.state_dir, record_.run_id()))));
  return {};
}

// A minder that has just been forked may hold the lock for a moment yet when its runner has been killed.
Result<bool> Execution::take_run(const std::string& run_id) {
  for (int i = 0; i < 500; ++i) {
    if (locks_->try_lock(run_id)) return true;
    if (runner_is_alive(TRY(store_.run(run_id)).tag(kRunnerTag))) return false;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

Result<> Execution::run_phases() {
  TRY(loop(Phase::kMain));
  main_ending_ = ending_;
  std::vector<std::string> failed;
  for (size_t i = 0; i < plan_.steps.size(); ++i)
    if (fails_the_run(i) || (ending_ == Ending::kTimeout && scheduler_.state(i) == StepState::kKilled))
      failed.push_back(plan_.steps[i].name);
  const bool is_good = failed.empty() && ending_ != Ending::kTimeout;
  std::string state = is_interrupted() ? "interrupted" : is_good ? "succeeded" : "failed";
  commands_.note_run(state, join(failed, ", "));
  for (Phase phase : {Phase::kOnSuccess, Phase::kOnFailure, Phase::kFinally}) {
    if (std::none_of(plan_.steps.begin(), plan_.steps.end(),
                     [&](const auto& step) { return step.phase == phase; }))
      continue;
    if (phase == Phase::kFinally || state == (phase == Phase::kOnSuccess ? "succeeded" : "failed")) {
      scheduler_.open(phase);
      TRY(loop(phase));
    }
    skip_the_rest(phase, state == "interrupted" ? state : "the run has " + state);
  }
  return end_what_was_not_taken_over();
}

// Start what can start, wait for one thing to happen, handle it. What has ended and what starts next are
// recorded together.
Result<> Execution::loop(Phase phase) {
  for (;;) {
    std::vector<size_t> starting = TRY(decide_and_record());
    for (size_t step : starting) TRY(launch(step));
    if (starting.empty() && is_done()) break;
    for (const Ended& ended : supervisor_.wait(retries_.until_next(kTick), background_.descriptor()))
      TRY(attempts_.count(ended.step) > 0 ? finish_step(ended) : ended_unattended(ended));
    for (const auto& then : background_.take_ended()) TRY(then());
    if (interrupted() && !is_interrupted()) stop_all();
    if (phase == Phase::kMain) stop_at_deadline();
    if (scheduler_.ending()) give_up_retries();
    report_progress();
    if (record_.is_pipeline())
      (void)snapshot_->write_early(record_.artifacts());  // an error comes at the end again
  }
  skip_the_rest(phase, end_reason_);
  return {};
}

// Nobody takes a result away in between.
Result<std::vector<size_t>> Execution::decide_and_record() {
  auto in_use = TRY(ResultsLock::take(options_.state_dir, ResultsLock::Mode::kUse));
  std::vector<size_t> starting = TRY(begin_ready_steps());
  TRY(commit());
  return starting;
}

bool Execution::is_done() const {
  return scheduler_.running() == 0 && waiting_.empty() && retries_.empty() && replaced_.empty();
}

bool Execution::fails_the_run(size_t step) const {
  return has_failed(scheduler_.state(step)) && !plan_.steps[step].settings->allow_failure;
}

void Execution::stop_running(std::string reason, Spared spared) {
  stop_reason_ = std::move(reason);
  for (size_t step : std::exchange(asking_, {})) scheduler_.put_back(step);
  for (const auto& [step, attempt] : attempts_)
    if (spared == Spared::kNobody || plan_.steps[step].tolerated.empty()) supervisor_.stop(step);
  background_.stop();
}

void Execution::stop_at_deadline() {
  if (!plan_.timeout || ending_ >= Ending::kTimeout || !record_.is_pipeline()) return;
  const double most = std::chrono::duration<double>(*plan_.timeout).count();
  if (watch_.seconds() < most) return;
  ending_ = Ending::kTimeout;
  scheduler_.halt();
  end_reason_ = fmt::format("the run has taken longer than its timeout of {}", human_duration(most));
  stop_running(end_reason_, Spared::kNobody);
}

void Execution::stop_all() {
  if (ending_ < Ending::kTimeout) stop_reason_ = "interrupted";
  ending_ = Ending::kInterrupt;
  end_reason_ = "interrupted";
  // Should the user not wait for the end, it is known how the run has ended.
  if (record_.is_pipeline()) record_.note_outcome(RunOutcome::kCancelled);
  scheduler_.halt();
  waiting_.clear();
  for (size_t step : std::exchange(asking_, {})) scheduler_.put_back(step);
  supervisor_.stop_all();
  background_.stop();
}

// The worst that has happened.
RunOutcome Execution::outcome() const {
  bool killed = is_interrupted(), failed = false, crashed = false, allowed = false;
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    const StepState state = scheduler_.state(i);
    killed = killed || state == StepState::kKilled;
    allowed = allowed || (has_failed(state) && !fails_the_run(i));
    (state == StepState::kCrashed ? crashed : failed) |= fails_the_run(i);
  }
  if (main_ending_ == Ending::kInterrupt) return RunOutcome::kCancelled;
  if (main_ending_ == Ending::kTimeout) return RunOutcome::kTimedOut;
  if (failed) return RunOutcome::kFailed;
  if (crashed) return RunOutcome::kCrashed;
  if (killed) return RunOutcome::kCancelled;
  return allowed ? RunOutcome::kSucceededWithFailures : RunOutcome::kSucceeded;
}

// Also those that were left out now.
bool Execution::all_are_done() const {
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    const tracking::StepRecord* before = earlier_.find(i);
    if (!succeeded(scheduler_.state(i)) && (before == nullptr || !was_done(*before))) return false;
  }
  return true;
}

Result<> Execution::end() {
  std::vector<std::string> states;
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    outcome_.steps[i].state = scheduler_.state(i);
    states.emplace_back(to_string(scheduler_.state(i)));
  }
  outcome_.run_id = record_.run_id();
  outcome_.experiment_id = record_.experiment_id();
  outcome_.outcome = outcome();
  outcome_.status = run_status(outcome_.outcome);
  outcome_.seconds = watch_.seconds();
  if (!record_.artifacts().empty())
    if (auto written = snapshot_->write(record_.artifacts(), states); !written)
      log_warning("what this run was made of is not kept: {}", written.error().message);
  if (publisher_) publisher_->finish();
  outcome_.is_whole = options_.resume.is_whole || outcome_.status != RunStatus::kFinished || all_are_done();
  TRY(record_.end(outcome_.is_whole ? outcome_.outcome : RunOutcome::kCancelled, outcome_.seconds));
  if (record_.mirror() != nullptr) see_it_there(*record_.mirror());
  if (reliances_ && outcome_.status == RunStatus::kFinished)
    if (auto kept = keep_footing(); !kept)
      log_warning("it is not kept what this run relied upon: {}", kept.error().message);
  if (outcome_.status != RunStatus::kFinished || !outcome_.is_whole || !can_go_on()) return {};
  return tidemill::remove_all(checkpoints_folder(options_.state_dir, record_.run_id()));
}

void Execution::see_it_there(Mirror& mirror) {
  if (auto sent = mirror.finish(); !sent) outcome_.not_there = sent.error();
  outcome_.experiment_there = mirror.experiment_id();
  if (!outcome_.not_there || outcome_.not_there->code == Code::kInvalid)
    outcome_.run_there = mirror.id_of(outcome_.run_id).value_or("");
}

Result<> Execution::watch_reliances() {
  if (!record_.is_pipeline()) return {};
  forget_footing(options_.start_file, options_);
  if (!can_be_recognised(plan_, options_)) return {};
  result_changes_ = TRY(store_.result_changes());
  cache_.tell(reliances_.emplace(options_.own_places));
  return {};
}

// Where there is one, it is known to the cache.
void Execution::rely_on_no_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) reliances_->add_no_file(path);
}

Result<> Execution::keep_footing() {
  for (size_t i = 0; i < plan_.steps.size(); ++i)
    if (!succeeded(scheduler_.state(i))) return {};
  reliances_->add_file(options_.start_file, plan_.sha256);
  for (const auto& inner : plan_.inner_files) {
    if (inner.sha256.empty())
      rely_on_no_file(inner.path);
    else
      reliances_->add_file(inner.path, inner.sha256);
  }
  std::set<std::string> projects;
  std::map<fs::path, config::CommandReader> readers;
  for (const auto& step : plan_.steps) {
    const config::Project& project = *step.project;
    if (project.file.empty()) {
      auto& reader = readers.try_emplace(project.folder, project.folder).first->second;
      for (const auto& place : reader.code_of(step.entry->command).looked_for)
        rely_on_no_file(project.folder / place);
    } else if (projects.insert(project.file).second) {
      reliances_->add_file(project.file, project.sha256);
      for (const char* name : {"python_env.yaml", "conda.yaml"}) rely_on_no_file(project.folder / name);
    }
  }
  auto reliances = reliances_->take();
  if (!reliances) return {};
  return engine::keep_footing({.start = options_.start,
                               .run_id = record_.run_id(),
                               .result_changes = result_changes_,
                               .pipeline = plan_.name,
                               .experiment = plan_.experiment,
                               .folder = plan_.folder.string(),
                               .file = options_.start_file,
                               .params = plan_.params,
                               .steps = plan_.step_names(),
                               .reliances = std::move(*reliances)},
                              options_);
}

// The store refused in the middle of the run: stop what runs and say in the store what can be said.
void Execution::abandon() {
  supervisor_.end_all();
  auto mark_failed = [this](const std::string& run_id) {
    (void)store_.update_run(
        {.run_id = run_id, .status = RunStatus::kFailed, .end_time = now_ms(), .name = {}});
  };
  for (const auto& [step, attempt] : attempts_) mark_failed(attempt.run.id);
  for (const auto& run : record_.open_nests()) mark_failed(run);
  if (record_.is_pipeline()) mark_failed(record_.run_id());
}

std::optional<ProgressState> Execution::progress_of_attempt(size_t step, Attempt& attempt) {
  auto told = read_progress(attempt.progress_file);
  if (told || attempt.since_asked.seconds() < kAskSeconds) return told;
  attempt.since_asked.restart();
  auto run = store_.run(attempt.run.id);
  return run ? progress_of(*run, plan_.steps[step].settings->figures) : std::nullopt;
}

fs::path Execution::progress_file_for(const std::string& step_run) const {
  return plan_.secrets.empty() ? progress_file(attempts_folder_, step_run)
                               : raw_progress_file(attempts_folder_, step_run);
}

void Execution::report_progress() {
  for (auto& [step, attempt] : attempts_) {
    auto progress = progress_of_attempt(step, attempt);
    if (!progress || progress->seconds == attempt.shown_seconds) continue;
    attempt.shown_seconds = progress->seconds;
    for (std::string* text : {&progress->label, &progress->unit, &progress->note})
      *text = masked(*text, attempt.secrets);
    if (!plan_.secrets.empty())
      (void)write_progress(progress_file(attempts_folder_, attempt.run.id), *progress);
    listener_(StepProgress{plan_.steps[step].name, progress->label, progress->unit, progress->note,
                           progress->done, progress->total, progress->seconds});
  }
}

// Those who wait for a key may look only after its result is on disk.
Result<> Execution::commit() {
  TRY(record_.commit());
  for (auto& item : std::exchange(to_share_, {})) publisher_->add(std::move(item));
  for (const auto& key : std::exchange(settled_keys_, {})) locks_->unlock(key);
  for (const auto& run : std::exchange(settled_runs_, {})) {
    std::error_code ignored;
    fs::remove(process_record(attempts_folder_, run), ignored);
    fs::remove(progress_file(attempts_folder_, run), ignored);
    fs::remove(command_file(attempts_folder_, run), ignored);
    if (!plan_.secrets.empty()) fs::remove(raw_progress_file(attempts_folder_, run), ignored);
  }
  for (size_t step : std::exchange(settled_checkpoints_, {})) TRY(checkpoints_->drop(plan_.steps[step].name));
  return {};
}

}  // namespace tidemill::engine
