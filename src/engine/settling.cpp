// How attempts end: judged, recorded, and perhaps made again.
#include "base/text.h"
#include "engine/execution.h"
#include "engine/server_registry.h"
#include "engine/step_watch.h"
#include "engine/verdict.h"

namespace tidemill::engine {

using tracking::RunStatus;

struct Execution::Looked {
  Result<Validation::Found> found;
  Result<FileTree> tree;
  TreeStamps stamps;
  Result<GivenFiles> given = {};  // to it
};

Result<> Execution::finish_step(const Ended& ended) {
  Attempt& attempt = attempts_.at(ended.step);
  attempt.run.ended = ended.at;
  const auto& step = plan_.steps[ended.step];
  Result<> fetched = record_.mirror() == nullptr
                         ? Result<>()
                         : record_.mirror()->fetch(attempt.run.id, attempt.run.artifacts);
  const projects::Container* container = commands_.container_of(ended.step);
  const bool limits_memory = container != nullptr && container->takes_limits && attempt.resources.memory > 0;
  Verdict verdict = TRY(judge(ended, attempt, *step.settings, stop_reason_, limits_memory, store_));
  if (!fetched && verdict.state == StepState::kFinished)
    verdict = {StepState::kCrashed, "what it has logged cannot be read: " + fetched.error().message,
               config::Failure{config::FailureKind::kInfrastructure}};
  StepFinished event{.step = step.name,
                     .run_id = attempt.run.id,
                     .state = verdict.state,
                     .seconds = ended.end ? ended.end->seconds : 0,
                     .reason = std::move(verdict.reason),
                     .reused_run = {},
                     .command = {},
                     .log = attempt.log,
                     .last_lines = {}};
  if (has_failed(event.state) || (event.state == StepState::kKilled && !is_interrupted())) {
    event.command = attempt.command;
    event.last_lines = last_lines(attempt.log, 20);
  }
  if (verdict.failure) verdict.failure->last_lines = event.last_lines;
  background_.add([this, ended, run = attempt.run, event = std::move(event), failure = verdict.failure,
                   where = validation_place()](const std::stop_token& stop) {
    const bool made = event.state == StepState::kFinished;
    auto looked = std::make_shared<Looked>(look_at_outputs(ended.step, run, made, where, stop));
    return [this, ended, event, failure, looked] {
      return settle_looked_at(ended, event, failure, std::move(*looked));
    };
  });
  if (is_interrupted() && step.phase == config::Phase::kMain) background_.stop();
  return {};
}

Execution::Looked Execution::look_at_outputs(size_t index, const StepRun& run, bool made,
                                             const Validation::Where& where,
                                             const std::stop_token& stop) const {
  const auto& step = plan_.steps[index];
  Looked looked{.found = Validation::Found{}, .tree = FileTree{}, .stamps = {}};
  if (made && !step.settings->validate.empty())
    looked.found =
        validation_.examine(step, {run.id, run.artifacts.string(), "", ""}, Outputs::kFresh, where, stop);
  looked.tree = hashes_.tree(run.artifacts, nullptr, reliances_ ? &looked.stamps : nullptr);
  if (made) looked.given = look_at_given(plan_, index, cache_, store_, hashes_);
  return looked;
}

Result<> Execution::settle_looked_at(const Ended& ended, StepFinished event, const Failure& failure,
                                     Looked looked) {
  const Attempt& attempt = attempts_.at(ended.step);
  TRY(judge_given(attempt, std::move(looked.given), event));
  bool made = event.state == StepState::kFinished;
  if (made) TRY(accept(event.run_id, std::move(looked.found), event));
  // Where the look was ended early, a part of what is bad may have been taken out.
  made = made && event.state != StepState::kKilled;
  std::string outputs = TRY(record_outputs(attempt, std::move(looked), event));
  if (ended.end)
    record_.add(
        tracking::LogBatch{event.run_id, {.metrics = usage_metrics(*ended.end), .params = {}, .tags = {}}});
  if (made)
    if (std::string change = keep_result(ended.step, attempt, std::move(outputs)); !change.empty())
      event.notes.push_back("its result is not kept: while it ran, something has changed: " + change);
  return pass_gate(ended.step, std::move(event),
                   [this, step = ended.step, failure](StepFinished judged) -> Result<> {
                     const Attempt judged_attempt = std::move(attempts_.extract(step).mapped());
                     settle(step, judged_attempt, std::move(judged), failure);
                     return {};
                   });
}

// Who has read what was changed meanwhile has read nobody knows what.
Result<> Execution::judge_given(const Attempt& attempt, Result<GivenFiles> looked, StepFinished& event) {
  constexpr size_t kMostShown = 5;
  const GivenFiles given = TRY(std::move(looked));
  auto shown = [](std::vector<std::string> names) {
    const size_t count = names.size();
    if (count > kMostShown) names.resize(kMostShown);
    return join(names, ", ") + (count > kMostShown ? fmt::format(" and {} more", count - kMostShown) : "");
  };
  if (!given.added.empty())
    event.notes.push_back(fmt::format(
        "beside what it was given there is now {}: that result is not used again", shown(given.added)));
  if (given.changed.empty()) return {};
  event.state = StepState::kFailed;
  event.reason =
      "what it was given is to be read only, and was changed while it ran: " + shown(given.changed);
  event.command = attempt.command;
  event.last_lines = last_lines(attempt.log, 20);
  return {};
}

Result<> Execution::fail_unstarted(size_t index, const Error& error, const Failure& failure) {
  int number = next_attempt(index);
  Attempt attempt{.run = TRY(record_.begin_step(index, {.reason = error.message}, number)), .decision = {}};
  outcome_.steps[index].run_id = attempt.run.id;
  outcome_.steps[index].attempts = number;
  settle_unstarted(index, attempt, failure ? state_after(failure->kind) : StepState::kFailed, error, failure);
  return {};
}

void Execution::settle_unstarted(size_t index, const Attempt& attempt, StepState state, const Error& error,
                                 const Failure& failure) {
  settle(index, attempt,
         {.step = plan_.steps[index].name,
          .run_id = attempt.run.id,
          .state = state,
          .reason = error.message,
          .reused_run = {},
          .command = {},
          .log = attempt.log,
          .last_lines = {}},
         failure);
}

std::string Execution::keep_result(size_t index, const Attempt& attempt, std::string outputs) {
  // What was changed while the step ran may have been read before or after: its result belongs to no key.
  const std::string& key = attempt.decision.key;
  std::string change;
  const bool is_known = !key.empty() && options_.cache.write == CachePolicy::Use::kYes;
  const Decision now = is_known ? cache_.key_now(index) : Decision{};
  if (is_known && now.key == key) {
    record_.add(tracking::StepResult{key, attempt.run.id, outputs, {}});
    share_later(index, attempt, outputs);
  } else if (reliances_) {
    reliances_->spoil();
  }
  if (is_known && now.key != key)
    change =
        now.key.empty()
            ? now.reason
            : pipeline::in_short(pipeline::describe_changes(attempt.decision.ingredients, now.ingredients));
  learn(index, {attempt.run.id, attempt.run.artifacts.string(), "", std::move(outputs)});
  if (checkpoints_) settled_checkpoints_.push_back(index);
  return change;
}

Result<std::string> Execution::record_outputs(const Attempt& attempt, Looked looked, StepFinished& event) {
  auto& tree = looked.tree;
  if (!tree)
    return fail(tree.error().code, "the outputs of step '{}' cannot be recorded: {}", event.step,
                tree.error().message);
  event.artifact_count = tree->files.size();
  event.artifact_bytes = tree->bytes();
  record_.add(tracking::RecordArtifacts{event.run_id, std::move(tree->files)});
  if (reliances_) reliances_->add(attempt.run.artifacts, false, tree->digest, std::move(looked.stamps));
  return std::move(tree->digest);
}

// Ends the attempt; and the step, unless it is tried again.
void Execution::settle(size_t index, const Attempt& attempt, StepFinished event, const Failure& failure) {
  outcome_.steps[index].seconds = event.seconds;
  event.attempt = attempt.run.attempt;
  end_attempt(attempt.run, run_status(event.state), event.reason, failure);
  if (!attempt.decision.key.empty()) settled_keys_.push_back(attempt.decision.key);
  if (try_again(index, attempt, event, failure)) return;
  record_end(index, event, attempt.run, attempt.decision);
  conclude(index, std::move(event));
}

// How a step has ended badly is what its record tells; why it ran is told by its run.
void Execution::record_end(size_t index, const StepFinished& event, const StepRun& run, Decision decision) {
  if (!event.reason.empty() && !succeeded(event.state)) decision.reason = event.reason;
  record_.set_state(index, event.state, run, decision);
}

void Execution::conclude(size_t index, StepFinished event) {
  settle_step(index, event.state);
  // At the end of a run everything is done that does not need what has failed.
  const bool matters = has_failed(event.state) && !plan_.steps[index].settings->allow_failure &&
                       plan_.steps[index].phase == config::Phase::kMain;
  const auto after = options_.after_failure.value_or(plan_.after_failure);
  if (matters && after != config::AfterFailure::kKeepGoing) scheduler_.wind_down();
  if (matters && after == config::AfterFailure::kStop && ending_ == Ending::kNone) {
    ending_ = Ending::kFailure;
    stop_running(fmt::format("stopped, as {} has failed", event.step), Spared::kWhoAsksHowOthersEnd);
  }
  if (!succeeded(event.state)) commands_.note(index, event.state);
  record_.tell(std::move(event));
}

// Also of results that are refused it is kept what has made them: whether they may be used is asked anew each
// time.
Result<> Execution::accept(const std::string& run, Result<Validation::Found> examined, StepFinished& event) {
  if (!examined && examined.error().code == Code::kCancelled) {
    event.state = StepState::kKilled;
    event.reason = stop_reason_;
    return {};
  }
  auto found = TRY(std::move(examined));
  if (!found.tag.empty())
    record_.add(tracking::LogBatch{
        run, {.metrics = {}, .params = {}, .tags = {{std::string(kValidationTag), found.tag}}}});
  for (auto& note : found.notes) event.notes.push_back(std::move(note));
  if (found.accepted) return {};
  event.state = StepState::kFailed;
  event.reason = "its data are not accepted: " + found.reason;
  return {};
}

// The result itself is kept: a gate that is closed today may be open tomorrow.
Result<> Execution::pass_gate(size_t index, StepFinished event, const WithEvent& then) {
  const auto& gate = plan_.steps[index].settings->gate;
  if (!gate || !succeeded(event.state)) return then(std::move(event));
  auto candidate = candidate_for(*gate, origins_of(index), store_, [&](const config::Template& value) {
    return commands_.value_of(index, value);
  });
  if (!candidate) return leave_gate(tl::unexpected<Error>(candidate.error()), std::move(event), then);
  if (!options_.registers) candidate->model.clear();
  if (record_.mirror() == nullptr || candidate->model.empty()) {
    StoreRegistry registry(store_);
    return leave_gate(pass(*gate, *candidate, registry), std::move(event), then);
  }
  TRY(commit());  // what is registered there has to be there
  if (scheduler_.state(index) != StepState::kRunning) scheduler_.begin(index);
  background_.add([this, &gate = *gate, &mirror = *record_.mirror(), candidate = std::move(*candidate),
                   event = std::move(event), then](const std::stop_token&) {
    auto verdict = pass_there(gate, candidate, mirror, store_);
    return [this, verdict = std::move(verdict), event, then] { return leave_gate(verdict, event, then); };
  });
  return {};
}

Result<> Execution::leave_gate(const Result<pipeline::GateVerdict>& verdict, StepFinished event,
                               const WithEvent& then) {
  if (!verdict && verdict.error().code == Code::kCancelled) {
    event.state = StepState::kKilled;
    event.reason = stop_reason_;
    return then(std::move(event));
  }
  if (!verdict && verdict.error().code != Code::kInvalid) return tl::unexpected<Error>(verdict.error());
  const bool passed = verdict && verdict->passed;
  const std::string text = verdict ? verdict->text : verdict.error().message;
  const std::string outcome = passed ? "passed" : verdict ? "closed" : "cannot be judged";
  record_.add(tracking::LogBatch{
      event.run_id, {.metrics = {}, .params = {}, .tags = {{"tidemill.gate", outcome + ": " + text}}}});
  if (passed) {
    event.notes.push_back("gate passed: " + text);
  } else {
    event.state = StepState::kFailed;
    event.reason = fmt::format("its gate {}{}: {}", verdict ? "is " : "", outcome, text);
  }
  return then(std::move(event));
}

// What a gate registers lies in one of these.
std::vector<Origin> Execution::origins_of(size_t index) const {
  std::vector<Origin> origins;
  auto add = [&](size_t step) {
    if (const auto& known = cache_.known(step))
      origins.push_back({known->artifacts, known->run_id, outcome_.steps[step].run_id});
  };
  add(index);
  for (size_t need : plan_.steps[index].needs) add(need);
  origins.push_back({record_.artifacts().string(), record_.run_id(), record_.run_id()});
  return origins;
}

void Execution::end_attempt(const StepRun& run, RunStatus status, const std::string& reason,
                            const Failure& failure) {
  std::vector<tracking::KeyValue> tags;
  if (!reason.empty()) tags.emplace_back("tidemill.failure", reason);
  if (failure) tags.emplace_back("tidemill.failure_kind", to_string(failure->kind));
  record_.add(tracking::LogBatch{run.id, {.metrics = {}, .params = {}, .tags = std::move(tags)}});
  record_.add(tracking::UpdateRun{
      .run_id = run.id, .status = status, .end_time = run.ended.value_or(now_ms()), .name = {}});
  settled_runs_.push_back(run.id);
}

bool Execution::try_again(size_t index, const Attempt& attempt, StepFinished& event, const Failure& failure) {
  if (!failure || !scheduler_.is_open_to(index) || !record_.is_pipeline()) return false;
  if (!ask_for_more(index, attempt, failure->kind)) return false;
  const config::RetryPolicy& policy = plan_.steps[index].settings->retry;
  const auto left = time_left(index);
  auto delay = retries_.wait(index, policy, *failure, left);
  const bool is_told = failure->kind == config::FailureKind::kTimeout;
  if (left.count() <= 0 && policy.budget(*failure) > 0 && !is_told)
    event.reason += "; not tried again, as the time for all its attempts is up";
  if (!delay) return false;
  scheduler_.put_back(index);
  std::string reason = event.reason;
  if (auto more = memory_.find(index); more != memory_.end() && failure->kind == config::FailureKind::kMemory)
    reason += fmt::format("; now with {} of it", human_bytes(more->second));
  past_.insert_or_assign(index, PastAttempt{attempt.run, attempt.decision, std::move(reason), event.state});
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

bool Execution::ask_for_more(size_t index, const Attempt& attempt, config::FailureKind kind) {
  const double times = plan_.steps[index].settings->retry.more_memory;
  if (kind != config::FailureKind::kMemory || times <= 1) return true;
  const uint64_t there_is = (options_.machine ? *options_.machine : this_machine()).memory;
  const auto wanted = static_cast<uint64_t>(static_cast<double>(attempt.resources.memory) * times);
  if (attempt.resources.memory >= there_is) return false;
  memory_[index] = std::min(wanted, there_is);
  return true;
}

// Nothing starts any more: the failures of those that wait for another attempt stand.
void Execution::give_up_retries() {
  for (size_t step : retries_.take_all()) {
    const PastAttempt& failed = past_.at(step);
    StepFinished event{.step = plan_.steps[step].name,
                       .run_id = failed.run.id,
                       .state = failed.state,
                       .attempt = failed.run.attempt,
                       .reason = fmt::format("{}; not tried again, as {}", failed.reason,
                                             is_interrupted() ? "the run was interrupted" : end_reason_),
                       .reused_run = {},
                       .command = {},
                       .log = log_of(step, failed.run.attempt),
                       .last_lines = {}};
    record_end(step, event, failed.run, failed.decision);
    settle_step(step, failed.state);
    commands_.note(step, failed.state);
    record_.tell(std::move(event));
  }
}

}  // namespace tidemill::engine
