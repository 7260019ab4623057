#include "tracking/changes.h"

#include <algorithm>

#include "tracking/store_state.h"

namespace tidemill::tracking {
namespace {

// More than a page could show; past them "something" is told.
constexpr size_t kMaxRuns = 10'000;
constexpr size_t kMaxMetrics = 1'000;  // of a run

void merge(Changes& into, const Changes& from) {
  into.elsewhere = into.elsewhere || from.elsewhere;
  into.lost = into.lost || from.lost;
  into.experiments.insert(from.experiments.begin(), from.experiments.end());
  for (const auto& [id, change] : from.runs) {
    RunChange& run = into.runs[id];
    run.experiment = change.experiment;
    run.created = run.created || change.created;
    run.updated = run.updated || change.updated;
    run.finished = run.finished || change.finished;
    run.metrics.insert(change.metrics.begin(), change.metrics.end());
    if (run.metrics.size() > kMaxMetrics) into.lost = true;
  }
  if (into.lost || into.runs.size() > kMaxRuns)
    into = Changes{.runs = {}, .experiments = {}, .elsewhere = into.elsewhere, .lost = true};
}

}  // namespace

void ChangeFeed::began(bool changed_elsewhere) {
  group_ = {};
  if (changed_elsewhere && watched()) deliver({.runs = {}, .experiments = {}, .elsewhere = true});
}

RunChange& ChangeFeed::run(std::string_view run_id, int64_t experiment) {
  RunChange& change = group_.runs[std::string(run_id)];
  change.experiment = experiment;
  return change;
}

void ChangeFeed::experiment(int64_t id) {
  if (watched()) group_.experiments.insert(id);
}

void ChangeFeed::publish() {
  if (!group_.empty()) deliver(std::exchange(group_, {}));
}

void ChangeFeed::deliver(const Changes& changes) {
  std::lock_guard lock(mutex_);
  for (const auto& inbox : inboxes_) {
    std::lock_guard inbox_lock(inbox->mutex);
    merge(inbox->changes, changes);
  }
}

void ChangeFeed::attach(std::shared_ptr<Inbox> inbox) {
  std::lock_guard lock(mutex_);
  inboxes_.push_back(std::move(inbox));
  ++watches_;
}

void ChangeFeed::detach(const std::shared_ptr<Inbox>& inbox) {
  std::lock_guard lock(mutex_);
  std::erase(inboxes_, inbox);
  --watches_;
}

ChangeWatch::ChangeWatch(Store& store) : store_(store), inbox_(std::make_shared<ChangeFeed::Inbox>()) {
  store_.state().cache.changes.attach(inbox_);
  // From here on it can be told whether others have written. A database that does not answer says so at
  // take().
  (void)ask();
  std::lock_guard lock(inbox_->mutex);
  inbox_->changes.elsewhere = false;
}

ChangeWatch::~ChangeWatch() { store_.state().cache.changes.detach(inbox_); }

Result<> ChangeWatch::ask() {
  // An error, so that nothing is committed: began() is all that is wanted.
  auto asked = store_.state().commits.run(
      [](db::Connection&) -> Result<> { return fail(Code::kCancelled, "nothing to write"); },
      GroupCommit::Fails::kBeforeWriting);
  return !asked && asked.error().code == Code::kCancelled ? Result<>() : asked;
}

Result<Changes> ChangeWatch::take() {
  TRY(ask());
  std::lock_guard lock(inbox_->mutex);
  return std::exchange(inbox_->changes, {});
}

}  // namespace tidemill::tracking
