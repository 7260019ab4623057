// Results that others have made, from a place that is shared, and what others may have from here.
#include "base/log.h"
#include "engine/execution.h"
#include "net/cancel.h"
#include "sys/signals.h"
#include "tracking/validate.h"

namespace tidemill::engine {
namespace {

constexpr size_t kMostInBatch = 100;

// In batches that the store takes.
Result<std::vector<tracking::Change>> data_of(const SharedResult& result, const std::string& run_id) {
  std::vector<tracking::Batch> batches;
  auto spread = [&](const auto& items, auto member) {
    for (size_t i = 0; i < items.size(); i += kMostInBatch) {
      auto& to = batches.emplace_back().*member;
      to.assign(items.begin() + static_cast<std::ptrdiff_t>(i),
                items.begin() + static_cast<std::ptrdiff_t>(std::min(items.size(), i + kMostInBatch)));
    }
  };
  spread(result.metrics, &tracking::Batch::metrics);
  spread(result.params, &tracking::Batch::params);
  std::vector<tracking::Change> changes;
  for (auto& batch : batches) {
    TRY(tracking::check_batch(batch));
    changes.emplace_back(tracking::LogBatch{run_id, std::move(batch)});
  }
  return changes;
}

// With its files in the folder.
Result<std::optional<SharedResult>> find_elsewhere(const SharedCache& shared, const std::string& key,
                                                   const fs::path& folder) {
  auto found = TRY(shared.find(key));
  if (!found) return found;
  TRY(tidemill::remove_all(folder));
  TRY(data_of(*found, ""));
  TRY(shared.fetch(*found, folder));
  return found;
}

}  // namespace

// Of what lies there it is not known when it was made.
bool Execution::is_shared(size_t index) const {
  return shared_ && plan_.steps[index].secrets.empty() && !plan_.steps[index].settings->ttl;
}

bool Execution::ask_elsewhere(size_t index, const Decision& decision) {
  const bool wanted = options_.cache.read == CachePolicy::Use::kYes &&
                      options_.cache.forced.count(plan_.steps[index].name) == 0;
  if (!is_shared(index) || !wanted || decision.key.empty() || !shared_answers_ || is_interrupted())
    return false;
  if (!asked_.insert(index).second) return false;
  asking_.insert(index);
  const fs::path folder = record_.artifacts().parent_path() / ("fetched-" + decision.key.substr(0, 16));
  background_.add([this, index, decision, folder](const std::stop_token&) {
    const CancelCallsOn cancel(interrupt_fd());
    auto found = find_elsewhere(*shared_, decision.key, folder);
    return [this, index, decision, folder, found = std::move(found)] {
      return take_from_elsewhere(index, decision, found, folder);
    };
  });
  return true;
}

Result<> Execution::take_from_elsewhere(size_t index, const Decision& decision, const FoundElsewhere& found,
                                        const fs::path& folder) {
  if (asking_.erase(index) == 0) return {};  // nobody waits for it any more
  if (found && *found) {
    TRY(record_from_elsewhere(index, decision, **found, folder));
    locks_->unlock(decision.key);
    return {};
  }
  if (!found && found.error().code != Code::kCancelled) {
    log_warning("step '{}' runs, as its result cannot be had from {}: {}", plan_.steps[index].name,
                shared_->name(), found.error().message);
    // A place that does not answer is not asked for every step; a bad result says nothing of others.
    shared_answers_ = found.error().code == Code::kInvalid || found.error().code == Code::kNotFound;
    if (shared_answers_) bad_there_.insert(decision.key);
  }
  locks_->unlock(decision.key);
  let_wait(index);
  return {};
}

Result<> Execution::record_from_elsewhere(size_t index, Decision decision, const SharedResult& result,
                                          const fs::path& folder) {
  decision.what = Decision::What::kReuse;
  decision.reason = "made elsewhere by " + result.maker;
  const int number = next_attempt(index);
  StepRun run = TRY(record_.begin_step(index, decision, number));
  if (::rename(folder.c_str(), run.artifacts.c_str()) != 0)
    return tl::unexpected<Error>(errno_error("move to " + run.artifacts.string(), errno));
  for (auto& change : TRY(data_of(result, run.id))) record_.add(std::move(change));
  std::vector<tracking::ArtifactEntry> files;
  for (const auto& file : result.files) files.push_back({file.path, file.size, file.sha256});
  record_.add(tracking::RecordArtifacts{run.id, std::move(files)});
  record_.add(tracking::LogBatch{
      run.id, {.metrics = {}, .params = {}, .tags = {{"tidemill.made_elsewhere", result.maker}}}});
  if (options_.cache.write == CachePolicy::Use::kYes)
    record_.add(tracking::StepResult{decision.key, run.id, result.outputs, {}});
  if (reliances_) reliances_->spoil();  // how the files look here is not known
  record_.add(tracking::UpdateRun{
      .run_id = run.id, .status = tracking::RunStatus::kFinished, .end_time = now_ms(), .name = {}});
  decision.result = {run.id, run.artifacts.string(), "", result.outputs};
  TRY(commit());  // its metrics are asked for when it is judged
  outcome_.steps[index].attempts = number;
  return reuse_step(index, decision, [id = run.id]() -> Result<std::string> { return id; });
}

void Execution::share_later(size_t index, const Attempt& attempt, const std::string& outputs) {
  const std::string& key = attempt.decision.key;
  if (!is_shared(index)) return;
  const auto what =
      bad_there_.count(key) > 0 ? SharedCache::Existing::kReplace : SharedCache::Existing::kKeep;
  to_share_.push_back({plan_.steps[index].name, key, attempt.run.id, outputs, attempt.run.artifacts, what});
}

}  // namespace tidemill::engine
