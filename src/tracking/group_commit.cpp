#include "tracking/group_commit.h"

#include <algorithm>
#include <vector>

namespace tidemill::tracking {

constexpr size_t kMaxGroup = 256;

Result<> GroupCommit::wait_for(Request& request) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(&request);
  if (led_) {
    request.wake.wait(lock, [&] { return request.done || request.leads; });
    if (request.done) return std::move(request.result);
  }
  led_ = true;
  auto end = waiting_.begin() + static_cast<ptrdiff_t>(std::min(waiting_.size(), kMaxGroup));
  std::vector<Request*> group(waiting_.begin(), end);
  waiting_.erase(waiting_.begin(), end);
  lock.unlock();
  commit(group);
  lock.lock();
  for (Request* member : group) {
    member->done = true;
    if (member != &request) member->wake.notify_one();
  }
  led_ = !waiting_.empty();
  if (led_) {
    waiting_.front()->leads = true;
    waiting_.front()->wake.notify_one();
  }
  return std::move(request.result);
}

void GroupCommit::commit(std::span<Request* const> group) {
  auto kept = try_commit(group);
  if (kept) return;
  observer_.undone();
  if (group.size() == 1) {
    group[0]->result = tl::unexpected<Error>(std::move(kept).error());
    return;
  }
  // One request may be the cause, by touching a damaged page for example: the others deserve their own try.
  for (Request* request : group) commit(std::span(&request, 1));
}

// The database's failure, not the request's: its transaction may be gone already.
static bool is_fatal(const Error& error) {
  return error.code == Code::kInternal || error.code == Code::kUnavailable;
}

Result<> GroupCommit::try_commit(std::span<Request* const> group) {
  db::Transaction transaction = TRY(db::Transaction::begin(*connection_, db::TransactionMode::kWrite));
  int64_t version = TRY(connection_->data_version());
  observer_.began(version != data_version_);
  data_version_ = version;
  bool any_kept = false;
  for (Request* request : group) {
    db::Savepoint part = TRY(db::Savepoint::begin(*connection_));
    request->result = request->call(request->context, *connection_);
    if (request->result) {
      TRY(part.release());
      any_kept = true;
    } else if (is_fatal(request->result.error())) {
      return request->result;
    } else {
      observer_.undone();
    }
  }
  return any_kept ? transaction.commit() : Result<>();
}

}  // namespace tidemill::tracking
