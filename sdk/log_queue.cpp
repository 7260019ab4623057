#include "log_queue.h"

#include <algorithm>
#include <unordered_map>

namespace tidemill::sdk {
namespace {

// A batch goes out this long after its first item, or once it has this many.
constexpr std::chrono::milliseconds kDelay{250};
constexpr size_t kEnough = 500;
// MLflow's limits on one log-batch call.
constexpr size_t kMaxMetrics = 1000, kMaxParams = 100, kMaxTags = 100, kMaxItems = 1000;
// More than this waits only when the server has been away for long.
constexpr size_t kMaxQueued = 1'000'000;

// Moves at most `limit` items from the front of one list to another.
template <class T>
void move_front(std::vector<T>& from, std::vector<T>& to, size_t limit) {
  auto end = from.begin() + static_cast<ptrdiff_t>(std::min(limit, from.size()));
  to.assign(std::make_move_iterator(from.begin()), std::make_move_iterator(end));
  from.erase(from.begin(), end);
}

// A call that has a parameter twice is refused as a whole, even when both values agree. What says something
// else about a parameter stays for a later call, whose refusal then names both values.
std::vector<std::pair<std::string, std::string>> take_distinct(
    std::vector<std::pair<std::string, std::string>>& from) {
  std::vector<std::pair<std::string, std::string>> taken, left;
  std::unordered_map<std::string, std::string> seen;
  for (auto& item : from) {
    auto known = seen.find(item.first);
    if (known != seen.end() && known->second == item.second) continue;
    if (known != seen.end() || taken.size() == kMaxParams) {
      left.push_back(std::move(item));
    } else {
      seen.insert(item);
      taken.push_back(std::move(item));
    }
  }
  from = std::move(left);
  return taken;
}

bool is_refusal(Code code) {
  return code == Code::kInvalid || code == Code::kNotFound || code == Code::kConflict;
}

template <class T>
void split_list(const std::vector<T>& list, std::vector<T>& first, std::vector<T>& second) {
  auto middle = list.begin() + static_cast<ptrdiff_t>(list.size() / 2);
  first.assign(list.begin(), middle);
  second.assign(middle, list.end());
}

// Two halves; by kind when there are several.
std::pair<LogBatch, LogBatch> split(const LogBatch& batch) {
  LogBatch first, second;
  int kinds = !batch.metrics.empty() + !batch.params.empty() + !batch.tags.empty();
  if (kinds > 1) {
    first.metrics = batch.metrics;
    (batch.metrics.empty() ? first : second).params = batch.params;
    second.tags = batch.tags;
    return {std::move(first), std::move(second)};
  }
  split_list(batch.metrics, first.metrics, second.metrics);
  split_list(batch.params, first.params, second.params);
  split_list(batch.tags, first.tags, second.tags);
  return {std::move(first), std::move(second)};
}

}  // namespace

LogQueue::LogQueue(Send send) : send_(std::move(send)), thread_([this] { run(); }) {}

LogQueue::~LogQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool LogQueue::has_room(size_t items) {
  if (queued_.size() + items <= kMaxQueued) return true;
  if (!error_)
    error_ = Error{Code::kUnavailable, "too much is waiting for the tracking server; logging was cut"};
  return false;
}

// The thread need not be woken for each item: for the first, and for the one that makes a batch.
void LogQueue::wake_if_due(size_t added) {
  size_t now = queued_.size(), before = now - added;
  if (before == 0 || (before < kEnough && now >= kEnough)) wake_.notify_one();
}

void LogQueue::add_metrics(std::vector<QueuedMetric> metrics) {
  std::lock_guard lock(mutex_);
  if (!has_room(metrics.size())) return;
  std::move(metrics.begin(), metrics.end(), std::back_inserter(queued_.metrics));
  wake_if_due(metrics.size());
}

void LogQueue::add_param(std::string key, std::string value) {
  std::lock_guard lock(mutex_);
  if (!has_room(1)) return;
  queued_.params.emplace_back(std::move(key), std::move(value));
  wake_if_due(1);
}

void LogQueue::add_tag(std::string key, std::string value) {
  std::lock_guard lock(mutex_);
  if (!has_room(1)) return;
  queued_.tags.emplace_back(std::move(key), std::move(value));
  wake_if_due(1);
}

Result<> LogQueue::flush() {
  std::unique_lock lock(mutex_);
  flushing_ = true;
  wake_.notify_all();
  drained_.wait(lock, [&] { return queued_.size() == 0 && !sending_; });
  flushing_ = false;
  if (!error_) return {};
  Error error = std::move(*error_);
  error_.reset();
  return tl::unexpected<Error>(std::move(error));
}

LogBatch LogQueue::take_batch() {
  LogBatch batch;
  batch.params = take_distinct(queued_.params);
  move_front(queued_.tags, batch.tags, kMaxTags);
  move_front(queued_.metrics, batch.metrics,
             std::min(kMaxMetrics, kMaxItems - batch.params.size() - batch.tags.size()));
  return batch;
}

void LogQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return queued_.size() > 0 || stopping_; });
    if (queued_.size() == 0) return;
    wake_.wait_for(lock, kDelay, [&] { return queued_.size() >= kEnough || flushing_ || stopping_; });
    LogBatch batch = take_batch();
    sending_ = true;
    lock.unlock();
    if (batch.size() > 0) deliver(batch);
    lock.lock();
    sending_ = false;
    if (queued_.size() == 0) drained_.notify_all();
  }
}

void LogQueue::keep_error(Error error) {
  std::lock_guard lock(mutex_);
  if (!is_refusal(error.code)) queued_ = {};  // would wait as long, and fail as well
  if (!error_) error_ = std::move(error);
}

// One bad item makes the server refuse its whole batch: the others are found by halving.
void LogQueue::deliver(const LogBatch& batch) {
  auto sent = send_(batch);
  if (sent) return;
  if (!is_refusal(sent.error().code) || batch.size() == 1) return keep_error(std::move(sent).error());
  auto [first, second] = split(batch);
  deliver(first);
  deliver(second);
}

}  // namespace tidemill::sdk
