// Going on with what earlier runners have done of a run. A step that is done stands when its code and inputs
// are what they were and its outputs are whole; a process that still runs is taken over on the same terms,
// and one that has ended meanwhile is settled by what its minder wrote down.
#include <sys/stat.h>

#include <algorithm>

#include "artifacts/folder_repository.h"
#include "engine/execution.h"
#include "engine/latest_result.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "engine/verdict.h"

namespace tidemill::engine {

using tracking::RunStatus;
using tracking::StepRecord;

namespace {

bool was_running(const StepRecord& record) { return record.state == to_string(StepState::kRunning); }

// When the minder wrote down how its step ended. nullopt: it did not.
std::optional<int64_t> written_at(const fs::path& record) {
  struct stat info{};
  if (!read_end(record) || ::stat(record.c_str(), &info) != 0) return std::nullopt;
  return int64_t{info.st_mtim.tv_sec} * 1000 + info.st_mtim.tv_nsec / 1'000'000;
}

}  // namespace

// They are watched from now on, though it is only decided when their steps are ready whether they are wanted.
Result<> Execution::find_survivors() {
  for (size_t step : earlier_.running()) {
    const fs::path record = process_record(attempts_folder_, earlier_.find(step)->step_run);
    if (auto process = TRY(MindedProcess::find(record)))
      supervisor_.take_over(step, record, std::move(*process));
    else
      ended_early_.insert_or_assign(step,
                                    Ended{.step = step, .end = read_end(record), .at = written_at(record)});
  }
  return {};
}

Result<StepRun> Execution::run_of(const StepRecord& record) {
  auto run = TRY(store_.run(record.step_run));
  auto folder = artifacts::local_folder(run.info.artifact_uri, options_.artifact_root);
  if (!folder)
    return fail(Code::kInvalid, "the artifacts of run {} lie in {}, which is not a folder of this machine",
                record.step_run, run.info.artifact_uri);
  return StepRun{record.step_run, *folder, record.attempt};
}

Result<bool> Execution::take_over(size_t index, const Decision& decision) {
  auto record = earlier_.take(index);
  if (!record || record->step_run.empty()) return false;
  outcome_.steps[index].attempts = record->attempt;
  if (options_.resume.again.count(plan_.steps[index].name) > 0) return begin_again(index, *record);
  if (was_done(*record)) {
    // If it does not stand, the decision says why it runs, or is reused from elsewhere.
    past_.insert_or_assign(index, PastAttempt{{record->step_run, {}, record->attempt}, {}, ""});
    bool belongs_to_an_end = plan_.steps[index].phase != config::Phase::kMain && ends_again_;
    return belongs_to_an_end ? false : keep_done(index, *record, decision);
  }
  if (was_running(*record)) return take_over_attempt(index, *record, decision);
  auto run = store_.run(record->step_run);
  std::string reason = run ? std::string(run->tag("tidemill.failure")) : "";
  if (reason.empty()) reason = "it was " + record->state + " before";
  past_.insert_or_assign(index, PastAttempt{{record->step_run, {}, record->attempt}, {}, reason});
  return false;
}

// As if it had not run before, but for the number of its attempt.
Result<bool> Execution::begin_again(size_t index, const StepRecord& record) {
  if (was_running(record)) return put_aside(index, TRY(run_of(record)), "it runs anew");
  past_.insert_or_assign(index, PastAttempt{{record.step_run, {}, record.attempt}, {}, ""});
  return false;
}

bool Execution::counts_as_recorded(size_t index, const StepRecord& record, const Decision& decision) const {
  if (options_.resume.done == ResumePolicy::Recorded::kAnyway || cache_.stands(index)) return true;
  return !decision.identity.empty() && decision.identity == record.key;
}

Result<bool> Execution::keep_done(size_t index, const StepRecord& record, const Decision& decision) {
  if (!counts_as_recorded(index, record, decision)) return false;
  auto run = store_.run(record.step_run);
  auto made = run_of(record);
  if (!run || !made) return false;
  // The outputs of a run that reused another's are recorded there.
  std::string maker(run->tag("tidemill.reused_run"));
  if (maker.empty()) maker = record.step_run;
  auto now = whole_outputs(maker, made->artifacts, store_, hashes_);
  if (!now) return false;
  outcome_.steps[index].run_id = record.step_run;
  snapshot_->note(index, decision);
  learn(index, {maker, made->artifacts.string(), run->info.artifact_uri, std::move(now->digest)});
  settle_step(index, StepState::kReused);
  record_.tell(StepFinished{.step = plan_.steps[index].name,
                            .run_id = record.step_run,
                            .state = StepState::kReused,
                            .attempt = record.attempt,
                            .reason = fmt::format("it was done before the run was resumed, and {}",
                                                  decision.identity == record.key && !record.key.empty()
                                                      ? "nothing has changed since"
                                                      : "stands as it was recorded"),
                            .reused_run = maker,
                            .command = {},
                            .log = {},
                            .last_lines = {}});
  return true;
}

// The step's process runs, or ended while nobody was there.
Result<bool> Execution::take_over_attempt(size_t index, const StepRecord& record, const Decision& decision) {
  Attempt attempt{.run = TRY(run_of(record)), .decision = decision};
  auto early = ended_early_.find(index);
  std::optional<Ended> ended;
  if (early != ended_early_.end()) ended = early->second;
  attempt.decision.reason = record.reason;  // why it was started, not what would be told of it by now
  std::string reason = TRY(why_not_taken_over(index, record, decision, ended ? &*ended : nullptr));
  if (!reason.empty()) return put_aside(index, attempt.run, reason);
  ended_early_.erase(index);
  TRY(begin_taken_over(index, std::move(attempt), ended ? &*ended : nullptr));
  return true;
}

bool Execution::put_aside(size_t index, const StepRun& run, const std::string& reason) {
  past_.insert_or_assign(index, PastAttempt{run, {}, reason});
  if (auto early = ended_early_.extract(index)) {
    StepRun ended = run;
    ended.ended = early.mapped().at;
    end_attempt(ended, RunStatus::kKilled, reason, std::nullopt);
    return false;
  }
  supervisor_.stop(index);
  replaced_.insert(index);
  return true;
}

void Execution::leave(size_t index) {
  auto record = earlier_.take(index);
  if (!record || record->step_run.empty()) return;
  StepRun run{record->step_run, {}, record->attempt};
  if (was_running(*record)) {
    put_aside(index, run, "it is not wanted any more");
  } else {
    past_.insert_or_assign(index, PastAttempt{run, {}, ""});
  }
}

// ended: nullptr while it runs. "" when it is to be taken over.
Result<std::string> Execution::why_not_taken_over(size_t index, const StepRecord& record,
                                                  const Decision& decision, const Ended* ended) {
  // After the machine went down, what is not on the disk proves nothing.
  if (ended != nullptr && !was_minded(process_record(attempts_folder_, record.step_run)) &&
      runner_is_of_this_boot(TRY(store_.run(record.step_run)).tag(kRunnerTag)))
    return "its runner ended before it could start it";
  if (ended != nullptr && ended->end && ended->end->stopped == StopCause::kAsked) return "it was stopped";
  if (!counts_as_recorded(index, record, decision))
    return "it was stopped, as it did what is no longer wanted: " + decision.reason;
  return "";
}

Result<> Execution::begin_taken_over(size_t index, Attempt attempt, const Ended* ended) {
  attempt.log = log_of(index, attempt.run.attempt);
  attempt.progress_file = progress_file_for(attempt.run.id);
  if (checkpoints_) attempt.checkpoints = checkpoints_->of(plan_.steps[index].name);
  TRY(record_.adopt(attempt.run));
  TRY(commands_.prepare(index, attempt));
  snapshot_->note(index, attempt.decision);
  scheduler_.begin(index);
  outcome_.steps[index].run_id = attempt.run.id;
  record_.tell(StepStarted{plan_.steps[index].name, attempt.run.id,
                           ended != nullptr ? "it ended while no runner was there" : "it was running still",
                           attempt.run.attempt, attempt.command, attempt.log, attempt.run.artifacts});
  attempts_.emplace(index, std::move(attempt));
  if (ended == nullptr) return {};
  TRY(commit());  // how the run stands now is asked when it is judged
  return finish_step(*ended);
}

// A process of an earlier runner, whose step is not ready, or which was in the way of its step.
Result<> Execution::ended_unattended(const Ended& ended) {
  if (replaced_.erase(ended.step) == 0) {
    ended_early_.insert_or_assign(ended.step, ended);
    return {};
  }
  const PastAttempt& failed = past_.at(ended.step);
  end_attempt(failed.run, RunStatus::kKilled, failed.reason, std::nullopt);
  scheduler_.enqueue(ended.step);
  return {};
}

Result<bool> Execution::harvest(size_t index, const Decision& decision) {
  if (decision.left_by.empty() || record_.mirror() != nullptr) return false;
  // Of an attempt that was recorded to its end, this is no more.
  const fs::path process = process_record(attempts_folder_, decision.left_by);
  const Ended ended{.step = index, .end = read_end(process), .at = written_at(process)};
  if (!ended.end || ended.end->start_errno != 0 || ended.end->stopped != StopCause::kNone ||
      !ended.end->exit.ok())
    return false;  // how often it may be tried again is that run's business
  const auto run = store_.run(decision.left_by);
  if (!run || !run->tag(kLogsToTag).empty() || !runner_is_of_this_boot(run->tag(kRunnerTag))) return false;
  const std::string whole = pipeline_run_of(*run);
  if (whole.empty() || whole == record_.run_id() || !locks_->try_lock(whole)) return false;
  auto made = settle_left(ended, whole, decision);
  locks_->unlock(whole);
  return made;
}

Result<bool> Execution::settle_left(const Ended& ended, const std::string& whole, const Decision& decision) {
  const auto records = TRY(store_.step_records(whole));
  const auto found = std::ranges::find(records, decision.left_by, &StepRecord::step_run);
  if (found == records.end() || !was_running(*found) || found->key != decision.key) return false;
  const StepRecord& record = *found;
  Attempt attempt{.run = TRY(run_of(record)), .decision = {}};
  attempt.run.ended = ended.at;
  TRY(record_.adopt(attempt.run));
  TRY(commit());  // how the run stands now is asked when it is judged
  Verdict verdict =
      TRY(judge(ended, attempt, *plan_.steps[ended.step].settings, stop_reason_, false, store_));
  const bool made = verdict.state == StepState::kFinished;
  if (made) {
    FileTree tree = TRY(hashes_.tree(attempt.run.artifacts));
    record_.add(tracking::StepResult{decision.key, record.step_run, tree.digest, {}});
    record_.add(tracking::RecordArtifacts{record.step_run, std::move(tree.files)});
    record_.add(tracking::LogBatch{record.step_run,
                                   {.metrics = usage_metrics(*ended.end), .params = {}, .tags = {}}});
  }
  end_attempt(attempt.run, run_status(verdict.state), verdict.reason, verdict.failure);
  StepRecord settled = record;
  settled.state = to_string(verdict.state);
  if (!made) settled.reason = verdict.reason;
  record_.add(std::move(settled));
  TRY(commit());
  return made;
}

Result<> Execution::end_what_was_not_taken_over() {
  supervisor_.end_all();
  for (size_t step : earlier_.running()) {
    auto record = earlier_.take(step);
    StepRun run{record->step_run, {}, record->attempt};
    end_attempt(run, RunStatus::kKilled, "its run ended before it was taken over", std::nullopt);
    record_.set_state(step, StepState::kKilled, run, {.reason = record->reason});
  }
  for (size_t step : std::exchange(replaced_, {}))
    end_attempt(past_.at(step).run, RunStatus::kKilled, past_.at(step).reason, std::nullopt);
  return settled_runs_.empty() ? Result<>() : commit();
}

}  // namespace tidemill::engine
