#include "tracking/group_commit.h"

#include <algorithm>

namespace tidemill::tracking {

constexpr size_t kMaxGroup = 256;
// A request that makes the server fall over shall not do so for ever.
constexpr int kMaxRetries = 2;
constexpr std::chrono::microseconds kMaxGathering{1000};

bool GroupCommit::all_are_there() const { return waiting_.size() >= std::min(callers_, kMaxGroup); }

// How much longer callers are waited for: at most half as long as a commit takes, so much is won when another
// one is saved.
GroupCommit::Duration GroupCommit::patience() const {
  if (all_are_there()) return {};
  Duration most = std::min<Duration>(commit_time_ / 2, kMaxGathering);
  return std::max(Duration{}, gathering_since_ + most - Clock::now());
}

void GroupCommit::enqueue(std::shared_ptr<Request> request) {
  if (waiting_.empty()) gathering_since_ = Clock::now();
  waiting_.push_back(std::move(request));
  if (led_by_waiter_ && all_are_there()) gathered_.notify_one();
}

void GroupCommit::add(Work work, Done done, Fails fails) {
  auto request = std::make_shared<Request>();
  request->work = std::move(work);
  request->done = std::move(done);
  request->fails = fails;
  std::lock_guard lock(mutex_);
  enqueue(std::move(request));
}

std::optional<GroupCommit::Duration> GroupCommit::settle() {
  std::unique_lock lock(mutex_);
  if (waiting_.empty()) return std::nullopt;
  if (led_) {
    if (!led_by_waiter_ || relief_) return std::nullopt;
    Request relief;
    relief_ = &relief;
    relief.wake.wait(lock, [&] { return relief.leads; });
  }
  return lead(lock, nullptr);
}

Result<> GroupCommit::wait_for(Request& request) {
  std::unique_lock lock(mutex_);
  enqueue({std::shared_ptr<void>(), &request});  // not owned: it outlives its group
  if (led_) request.wake.wait(lock, [&] { return request.finished || request.leads; });
  if (!request.finished) lead(lock, &request);
  return std::move(request.result);
}

// Until nothing waits any more, or own is finished and another thread takes over. Who leads without a request
// of its own commits one group and does not wait for callers: it returns how long they may take, if no other
// takes over.
std::optional<GroupCommit::Duration> GroupCommit::lead(std::unique_lock<std::mutex>& lock,
                                                       const Request* own) {
  led_ = true;
  led_by_waiter_ = own != nullptr;
  while (!waiting_.empty()) {
    if (own && own->finished && hand_over()) return std::nullopt;
    Duration rest = patience();
    if (own) {
      gathered_.wait_for(lock, rest, [&] { return all_are_there(); });
    } else if (rest > Duration{}) {
      if (hand_over()) return std::nullopt;
      led_ = false;
      return rest;
    }
    commit_next(lock);
    if (!own) break;
  }
  if (hand_over()) return std::nullopt;
  led_ = false;
  return waiting_.empty() ? std::nullopt : std::optional(patience());
}

bool GroupCommit::hand_over() {
  Request* heir = std::exchange(relief_, nullptr);
  if (!heir) {
    auto waiter = std::find_if(waiting_.begin(), waiting_.end(), [](const auto& one) { return !one->done; });
    if (waiter == waiting_.end()) return false;
    heir = waiter->get();
  }
  heir->leads = true;
  heir->wake.notify_one();
  return true;
}

void GroupCommit::commit_next(std::unique_lock<std::mutex>& lock) {
  auto end = waiting_.begin() + static_cast<ptrdiff_t>(std::min(waiting_.size(), kMaxGroup));
  Group group(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  lock.unlock();
  auto start = Clock::now();
  commit(group);
  auto commit_time = Clock::now() - start;
  lock.lock();
  commit_time_ = commit_time;
  callers_ = group.size() + waiting_.size();
  lock.unlock();
  for (auto& member : group)
    if (member->done) member->done(std::move(member->result));
  lock.lock();
  for (auto& member : group) {
    if (member->done) continue;
    member->finished = true;
    member->wake.notify_one();
  }
  gathering_since_ = Clock::now();
}

void GroupCommit::commit(std::span<const std::shared_ptr<Request>> group) {
  Result<> kept = try_commit(group);
  for (int again = 0; !kept && connection_->may_retry() && again < kMaxRetries; ++again) {
    observer_.undone();
    kept = try_commit(group);
  }
  if (kept) return;
  observer_.undone();
  if (group.size() == 1) {
    group[0]->result = tl::unexpected<Error>(std::move(kept).error());
    return;
  }
  // One request may be the cause, by touching a damaged page for example: the others deserve their own try.
  for (size_t i = 0; i < group.size(); ++i) commit(group.subspan(i, 1));
}

// The database's failure, not the request's: its transaction may be gone already.
static bool is_fatal(const Error& error) {
  return error.code == Code::kInternal || error.code == Code::kUnavailable;
}

Result<> GroupCommit::try_commit(std::span<const std::shared_ptr<Request>> group) {
  db::Transaction transaction = TRY(db::Transaction::begin(*connection_, db::TransactionMode::kWrite));
  int64_t version = TRY(connection_->data_version());
  observer_.began(data_version_ && version != *data_version_);
  data_version_ = version;
  bool any_kept = false;
  for (const auto& request : group) any_kept |= TRY(perform(*request));
  // A group of which nothing is left is committed too: the database may tell only now that a request which
  // looked good has failed, and with it those after it.
  if (!any_kept && group.size() == 1) return {};
  TRY(observer_.ending(*connection_));
  {
    std::optional<Wakeful::Wait> wait;
    if (group.size() > 1 && flush_ == Flush::kHere) wait.emplace(wakeful_);
    TRY(transaction.commit());
  }
  observer_.committed();
  ++commits_;
  requests_ += group.size();
  return {};
}

// Whether something of it is kept; an error when the database failed.
Result<bool> GroupCommit::perform(Request& request) {
  std::optional<db::Savepoint> part;
  if (request.fails == Fails::kAnywhere) part.emplace(TRY(db::Savepoint::begin(*connection_)));
  request.result = request.work(*connection_);
  if (request.result) {
    if (part) TRY(part->release());
    return true;
  }
  if (is_fatal(request.result.error())) return tl::unexpected<Error>(request.result.error());
  if (part) observer_.undone();
  return false;
}

}  // namespace tidemill::tracking
