// What becomes of a step whose turn it is: skipped, reused, left to wait, or started.
#include "base/log.h"
#include "base/text.h"
#include "engine/execution.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "engine/verdict.h"
#include "sys/control_group.h"

namespace tidemill::engine {

using std::chrono::milliseconds;

Result<std::vector<size_t>> Execution::begin_ready_steps() {
  for (size_t step : std::exchange(waiting_, {})) scheduler_.enqueue(step);
  TRY(fail_what_has_waited_too_long());
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

Result<> Execution::reuse_what_is_known() {
  skip_what_is_blocked();
  for (auto ready = TRY(take_wanted()); !ready.empty(); ready = TRY(take_wanted())) {
    std::vector<Decision> decisions = TRY(cache_.decide(ready));
    for (size_t i = 0; i < ready.size(); ++i) {
      if (TRY(take_over(ready[i], decisions[i]))) continue;
      if (decisions[i].what == Decision::What::kReuse) {
        TRY(reuse_step(ready[i], decisions[i]));
      } else {
        scheduler_.enqueue(ready[i]);
      }
    }
  }
  return {};
}

Result<std::vector<size_t>> Execution::take_wanted() {
  std::vector<size_t> ready, wanted;
  do {
    ready = scheduler_.take_ready();
    for (size_t step : ready) {
      if (options_.resume.left.count(plan_.steps[step].name) > 0) {
        if (options_.resume.is_whole) leave(step);  // else what was done of it is of use later
        skip(step, "it is left out");
        continue;
      }
      if (plan_.steps[step].settings->when) TRY(commit());  // it may ask for what has just been recorded
      auto condition = commands_.condition(step);
      if (!condition || !condition->holds) leave(step);
      if (!condition) {
        TRY(fail_unstarted(step, condition.error(), std::nullopt));
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

// It may have become known meanwhile, or be made by another run just now, or find no room.
Result<bool> Execution::begin_step(size_t index) {
  const config::Resources wanted = resources_of(index);
  if (no_room_.count(wanted) > 0) return wait_for(index, Wait::For::kRoom);
  Decision decision = cache_.key_now(index);
  // An attempt that has just failed holds its key until its end is on disk.
  if (std::ranges::find(settled_keys_, decision.key) != settled_keys_.end()) TRY(commit());
  if (!decision.key.empty() && !locks_->try_lock(decision.key)) return wait_for(index, Wait::For::kOtherRun);
  TRY(cache_.decide(index, decision));
  if (TRY(harvest(index, decision))) TRY(cache_.decide(index, decision));
  if (decision.what == Decision::What::kReuse) {
    locks_->unlock(decision.key);
    TRY(reuse_step(index, decision));
    return false;
  }
  if (ask_elsewhere(index, decision)) return false;
  std::optional<Grant> grant = wanted.empty() ? Grant{} : machine_->try_take(wanted);
  if (!grant) {
    no_room_.insert(wanted);
    locks_->unlock(decision.key);
    return wait_for(index, Wait::For::kRoom);
  }
  return begin_attempt(index, std::move(decision), std::move(*grant));
}

Result<bool> Execution::begin_attempt(size_t index, Decision decision, Grant grant) {
  const auto& step = plan_.steps[index];
  const int number = next_attempt(index);
  if (auto past = past_.find(index); past != past_.end() && !past->second.reason.empty())
    decision.reason = fmt::format("attempt {}: {}", number, past->second.reason);
  snapshot_->note(index, decision);
  waits_.erase(index);
  Attempt attempt{.run = TRY(record_.begin_step(index, decision, number)),
                  .decision = std::move(decision),
                  .resources = resources_of(index),
                  .grant = std::move(grant)};
  limit_time(index, attempt);
  outcome_.steps[index].run_id = attempt.run.id;
  outcome_.steps[index].attempts = number;
  attempt.log = log_of(index, number);
  attempt.progress_file = progress_file_for(attempt.run.id);
  const bool is_cleared = options_.resume.again.count(step.name) == 0 || !cleared_.insert(index).second;
  if (checkpoints_ && !is_cleared) TRY(checkpoints_->drop(step.name));
  if (checkpoints_) attempt.checkpoints = TRY(checkpoints_->make(step.name));
  TRY(make_dirs(attempt.log.parent_path()));
  for (const auto& output : step.settings->outputs)
    if (output.path.find('/') != std::string::npos)
      TRY(make_dirs((attempt.run.artifacts / output.path).parent_path()));
  if (record_.mirror() != nullptr) TRY(commit());  // the run there is made of the one here
  if (auto prepared = commands_.prepare(index, attempt); !prepared) {
    const bool is_away = prepared.error().code == Code::kUnavailable;
    settle_unstarted(index, attempt, is_away ? StepState::kCrashed : StepState::kFailed, prepared.error(),
                     is_away ? Failure(config::Failure{config::FailureKind::kInfrastructure}) : std::nullopt);
    return false;
  }
  record_.tell(StepStarted{step.name, attempt.run.id, attempt.decision.reason, number, attempt.command,
                           attempt.log, attempt.run.artifacts});
  attempts_.emplace(index, std::move(attempt));
  return true;
}

int Execution::next_attempt(size_t step) const {
  auto past = past_.find(step);
  return past == past_.end() ? 1 : past->second.run.attempt + 1;
}

config::Resources Execution::resources_of(size_t index) const {
  config::Resources resources = plan_.steps[index].settings->resources;
  if (auto more = memory_.find(index); more != memory_.end()) resources.memory = more->second;
  return resources;
}

void Execution::limit_time(size_t index, Attempt& attempt) {
  const config::Timeouts& timeouts = plan_.steps[index].settings->timeout;
  auto text_of = [](milliseconds time) {
    return human_duration(std::chrono::duration<double>(time).count());
  };
  attempt.timeout = timeouts.attempt;
  if (timeouts.attempt) attempt.limit = "its timeout of " + text_of(*timeouts.attempt);
  if (!timeouts.total) return;
  since_first_attempt_.try_emplace(index);
  const milliseconds left = std::max(milliseconds(1), time_left(index));
  if (attempt.timeout && *attempt.timeout <= left) return;
  attempt.timeout = left;
  attempt.limit = fmt::format("the {} that all its attempts may take", text_of(*timeouts.total));
}

milliseconds Execution::time_left(size_t index) const {
  const auto& total = plan_.steps[index].settings->timeout.total;
  auto since = since_first_attempt_.find(index);
  if (!total || since == since_first_attempt_.end()) return milliseconds::max();
  return *total - milliseconds(static_cast<int64_t>(since->second.seconds() * 1000));
}

bool Execution::let_wait(size_t index) {
  scheduler_.put_back(index);
  waiting_.push_back(index);
  return false;
}

std::string Execution::awaited(size_t index, Wait::For what) const {
  return what == Wait::For::kOtherRun ? "the same result, which another run or step makes just now"
                                      : describe(resources_of(index)) + ", which others hold";
}

// When what makes the result belongs to a run that nobody runs any more: how that goes on.
static std::string hint_to_resume(tracking::Store& store, StepCache& cache, size_t index) {
  Decision decision = cache.key_now(index);
  if (!cache.decide(index, decision) || decision.left_by.empty()) return "";
  const auto step = store.run(decision.left_by);
  const auto run = step ? store.run(pipeline_run_of(*step)) : tl::unexpected<Error>(step.error());
  if (!run || runner_is_alive(run->tag(kRunnerTag))) return "";
  return fmt::format("; its run has no runner any more: tidemill resume {}", run->info.id);
}

bool Execution::wait_for(size_t index, Wait::For what) {
  auto [known, is_new] = waits_.try_emplace(index, Wait{what, false});
  Wait& wait = known->second;
  const bool is_other = what != wait.what;
  if (is_other) wait = {what, false, wait.since};
  const auto& step = plan_.steps[index];
  std::string reason = "waits for " + awaited(index, what);
  if (is_new || is_other) {
    if (what == Wait::For::kOtherRun) reason += hint_to_resume(store_, cache_, index);
    auto past = past_.find(index);
    record_.set_state(index, StepState::kWaiting, past == past_.end() ? StepRun{} : past->second.run,
                      {.reason = reason});
  }
  // That the steps of a run wait for each other is what resources are for: it is told when nothing of it
  // runs, but for this step, which was about to.
  const bool is_news = what == Wait::For::kOtherRun || scheduler_.running() == 1;
  if (is_news && !std::exchange(wait.is_told, true)) record_.tell(StepWaits{step.name, reason});
  return let_wait(index);
}

Result<> Execution::fail_what_has_waited_too_long() {
  std::vector<size_t> steps;
  for (const auto& [index, wait] : waits_) {
    const auto& most = plan_.steps[index].settings->timeout.waiting;
    const bool waits = scheduler_.state(index) == StepState::kWaiting && scheduler_.is_open_to(index);
    if (most && waits && wait.since.seconds() >= std::chrono::duration<double>(*most).count())
      steps.push_back(index);
  }
  for (size_t index : steps) {
    const Wait wait = waits_.extract(index).mapped();
    scheduler_.begin(index);
    TRY(fail_unstarted(
        index,
        {Code::kUnavailable, fmt::format("has waited {} for {}: longer than its timeout.waiting",
                                         human_duration(wait.since.seconds()), awaited(index, wait.what))},
        config::Failure{config::FailureKind::kTimeout}));
  }
  return {};
}

fs::path Execution::log_of(size_t step, int attempt) const {
  return log_file(record_.artifacts(), plan_.steps[step].name, attempt);
}

Result<> Execution::reuse_step(size_t index, const Decision& decision) {
  return reuse_step(index, decision, [this, index, decision] { return record_.reuse_step(index, decision); });
}

Result<> Execution::reuse_step(size_t index, const Decision& decision, const RecordReuse& record) {
  if (plan_.steps[index].settings->validate.empty())
    return settle_reused(index, decision, TRY(record()), Validation::Found{});
  if (scheduler_.state(index) != StepState::kRunning) scheduler_.begin(index);
  background_.add([this, index, decision, record, where = validation_place()](const std::stop_token& stop) {
    auto found = validation_.examine(plan_.steps[index], decision.result, Outputs::kKept, where, stop);
    return [this, index, decision, record, found = std::move(found)]() -> Result<> {
      return settle_reused(index, decision, TRY(record()), found);
    };
  });
  return {};
}

Result<> Execution::settle_reused(size_t index, const Decision& decision, const std::string& run_id,
                                  Result<Validation::Found> found) {
  outcome_.steps[index].run_id = run_id;
  snapshot_->note(index, decision);
  learn(index, decision.result);
  StepFinished event{.step = plan_.steps[index].name,
                     .run_id = outcome_.steps[index].run_id,
                     .state = StepState::kReused,
                     .reason = decision.reason,
                     .reused_run = decision.result.run_id,
                     .command = {},
                     .log = {},
                     .last_lines = {}};
  TRY(accept(decision.result.run_id, std::move(found), event));
  return pass_gate(index, std::move(event), [this, index, decision](StepFinished judged) -> Result<> {
    conclude_reused(index, decision, std::move(judged));
    return {};
  });
}

void Execution::conclude_reused(size_t index, const Decision& decision, StepFinished event) {
  const StepRun run{
      .id = event.run_id, .artifacts = {}, .attempt = std::max(1, outcome_.steps[index].attempts)};
  record_.set_state(index, StepState::kReused, run, decision);
  if (event.state != StepState::kReused) {
    end_attempt(run, run_status(event.state), event.reason, std::nullopt);
    record_end(index, event, run, decision);
  }
  conclude(index, std::move(event));
}

void Execution::learn(size_t index, KnownResult result) {
  snapshot_->note_made(index, result.outputs);
  commands_.learn(index, outcome_.steps[index].run_id);
  cache_.learn(index, std::move(result));
}

Result<> Execution::launch(size_t index) {
  const Attempt& attempt = attempts_.at(index);
  const Minding minding = minding_of(index, attempt);
  auto launched = supervisor_.launch(index, commands_.process_of(index, attempt), minding);
  if (launched) return {};
  if (!minding.control_group.empty()) remove_control_group(minding.control_group);
  Attempt failed = std::move(attempts_.extract(index).mapped());
  const config::FailureKind kind = kind_of_start_error(launched.error());
  settle_unstarted(index, failed, state_after(kind), launched.error(), config::Failure{kind});
  return {};
}

// The folder of a control group with the limits that the step asks for; "" without them, where there is none
// to be had, and for a container, which its engine puts into a group of its own.
fs::path Execution::control_group_of(size_t index, const Attempt& attempt) {
  const config::Resources& wanted = attempt.resources;
  if (wanted.memory == 0 && wanted.cpus == 0) return "";
  const projects::Container* container = commands_.container_of(index);
  if (container != nullptr && container->takes_limits) return "";
  auto group =
      container != nullptr
          ? fail(Code::kUnavailable, "{} cannot limit containers here", container->engine)
          : make_control_group("tidemill-" + attempt.run.id, {.memory = wanted.memory, .cpus = wanted.cpus});
  if (group) return *group;
  if (!std::exchange(limits_noted_, true))
    log_info("the steps' cpus and memory are counted, but nothing keeps a step from using more: {}",
             group.error().message);
  return "";
}

Minding Execution::minding_of(size_t index, const Attempt& attempt) {
  using Survival = Minding::Survival;
  Minding minding{.record = process_record(attempts_folder_, attempt.run.id),
                  .survival = can_go_on() ? Survival::kOutlivesStarter : Survival::kEndsWithStarter,
                  .timeout = attempt.timeout,
                  .grace = options_.kill_grace,
                  .keep_open = {},
                  .output_limit = plan_.steps[index].settings->log_limit,
                  .secrets = attempt.secrets,
                  .control_group = control_group_of(index, attempt),
                  .clean_up = commands_.clean_up_of(index, attempt)};
  // As long as the process lives, no other run makes the same, and what it holds of the machine is taken.
  if (int lock = locks_->descriptor(attempt.decision.key); lock >= 0) minding.keep_open.push_back(lock);
  if (attempt.grant.held) minding.keep_open.push_back(attempt.grant.held.get());
  return minding;
}

// --- What does not run ---

void Execution::skip_what_is_blocked() {
  for (auto blocked = scheduler_.take_blocked(); !blocked.empty(); blocked = scheduler_.take_blocked())
    for (size_t step : blocked) skip(step, scheduler_.skip_reason(step));
}

void Execution::skip_the_rest(config::Phase phase, const std::string& reason) {
  for (size_t i = 0; i < plan_.steps.size(); ++i)
    if (plan_.steps[i].phase == phase && scheduler_.state(i) == StepState::kWaiting) {
      std::string need = is_interrupted() ? "" : scheduler_.skip_reason(i);
      if (phase != config::Phase::kMain) leave(i);
      skip(i, need.empty() ? reason : need);
    }
}

void Execution::settle_step(size_t index, StepState state) {
  scheduler_.settle(index, state);
  record_.settled(index, state);
}

void Execution::skip(size_t index, std::string reason) {
  settle_step(index, StepState::kSkipped);
  commands_.note(index, StepState::kSkipped);
  supervisor_.stop(index);
  // What an earlier runner has done of it may still be of use when the run goes on once more.
  if (earlier_.find(index) == nullptr) record_.set_state(index, StepState::kSkipped, {}, {.reason = reason});
  record_.tell(StepFinished{.step = plan_.steps[index].name,
                            .run_id = "",
                            .state = StepState::kSkipped,
                            .reason = std::move(reason),
                            .reused_run = {},
                            .command = {},
                            .log = {},
                            .last_lines = {}});
}

}  // namespace tidemill::engine
