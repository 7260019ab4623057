#include "log_queue.h"

#include <algorithm>

#include "base/id.h"
#include "base/log.h"

namespace tidemill::sdk {
namespace {

// A batch goes out this long after its first item, or once it has this many.
constexpr std::chrono::milliseconds kDelay{250};
constexpr size_t kEnough = 500;
// More than this waits in memory only when even the disk is away.
constexpr size_t kMaxQueued = 1'000'000;
// How long to leave a server alone that is away.
constexpr std::chrono::milliseconds kFirstPause{100}, kLongestPause{10'000};

bool is_refusal(Code code) {
  return code == Code::kInvalid || code == Code::kNotFound || code == Code::kConflict;
}

}  // namespace

LogQueue::LogQueue(Send send, Spool spool, std::chrono::milliseconds patience)
    : send_(std::move(send)), patience_(patience), spool_(std::move(spool)), pause_(kFirstPause) {
  thread_ = std::thread([this] { run(); });
}

LogQueue::~LogQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (!spool_.empty() || !disk_error_.empty()) log_warning("{}", backlog_error().message);
}

template <class Add>
void LogQueue::add(size_t items, Add add) {
  std::lock_guard lock(mutex_);
  size_t before = queued_.size();
  if (before + items > kMaxQueued) {
    if (!error_)
      error_ = Error{Code::kUnavailable, "too much is waiting for the tracking server; logging was cut"};
    return;
  }
  add(queued_);
  // The thread need not be woken for each item: for the first, and for the one that makes a batch.
  size_t now = queued_.size();
  if (before == 0 || (before < kEnough && now >= kEnough)) wake_.notify_one();
}

void LogQueue::add_metrics(std::vector<QueuedMetric> metrics) {
  add(metrics.size(), [&](LogBacklog& queued) {
    std::move(metrics.begin(), metrics.end(), std::back_inserter(queued.metrics));
  });
}

void LogQueue::add_param(std::string key, std::string value) {
  add(1, [&](LogBacklog& queued) { queued.params.emplace_back(std::move(key), std::move(value)); });
}

void LogQueue::add_tag(std::string key, std::string value) {
  add(1, [&](LogBacklog& queued) { queued.tags.emplace_back(std::move(key), std::move(value)); });
}

void LogQueue::add_end(RunEnd end) {
  add(1, [&](LogBacklog& queued) { queued.end = std::move(end); });
}

Result<> LogQueue::flush() {
  std::unique_lock lock(mutex_);
  Clock::time_point start = Clock::now();
  flushing_ = asked_ = true;
  wake_.notify_all();
  std::optional<Error> gave_up;
  while (queued_.size() > 0 || working_ || asked_ || !kept_in_.empty()) {
    // It has failed since we asked, and nothing is under way.
    if (away_ && !working_ && !asked_) {
      auto end = away_->code == Code::kDenied ? start : std::max(start, away_since_) + patience_;
      if (Clock::now() >= end) {
        gave_up = backlog_error();
        break;
      }
      drained_.wait_until(lock, end);
    } else {
      drained_.wait(lock);
    }
  }
  flushing_ = false;
  if (gave_up) return tl::unexpected<Error>(std::move(*gave_up));
  if (!error_) return {};
  Error error = std::move(*error_);
  error_.reset();
  return tl::unexpected<Error>(std::move(error));
}

Error LogQueue::backlog_error() const {
  std::string where = "What is missing is lost when the program ends";
  if (!disk_error_.empty())
    where += fmt::format(": it cannot be kept on the disk either ({})", disk_error_);
  else if (!kept_in_.empty())
    where = fmt::format(
        "What is missing is kept in {}; the next program that logs to the same server sends it", kept_in_);
  Error why = away_.value_or(Error{Code::kUnavailable, "it does not answer"});
  return {why.code, fmt::format("the tracking server could not be told everything about run {} ({}). {}",
                                spool_.run_id(), why.message, where)};
}

bool LogQueue::due() const {
  return asked_ || stopping_ || (queued_.size() > 0 && (disk_error_.empty() || may_try()));
}

// Until there is something to do for this run, or time to send what is left from before.
void LogQueue::wait(std::unique_lock<std::mutex>& lock) {
  bool again = !kept_in_.empty() || !disk_error_.empty() || !left_behind_.empty();
  if (again)
    wake_.wait_until(lock, next_try_, [&] { return due(); });
  else
    wake_.wait(lock, [&] { return due(); });
  if (queued_.size() > 0)
    wake_.wait_for(lock, kDelay,
                   [&] { return queued_.size() >= kEnough || asked_ || flushing_ || stopping_; });
}

void LogQueue::run() {
  for (fs::path& path : Spool::files(spool_.folder())) left_behind_.push_back(std::move(path));
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    wait(lock);
    last = stopping_;
    if (std::exchange(asked_, false) || last) next_try_ = {};
    LogBacklog taken = std::exchange(queued_, {});
    disk_error_.clear();
    working_ = true;
    lock.unlock();
    work_off(std::move(taken));
    lock.lock();
    working_ = false;
    kept_in_ = spool_.empty() ? "" : spool_.path().string();
    drained_.notify_all();
    lock.unlock();
    auto end = Clock::now() + patience_;
    do send_left_behind();
    while (last && !left_behind_.empty() && may_try() && Clock::now() < end);
    lock.lock();
  }
}

void LogQueue::work_off(LogBacklog taken) {
  while (!spool_.empty() && may_try()) send_front(spool_);
  while (taken.size() > 0) {
    LogBatch batch = take_batch(taken);
    // Nothing overtakes what lies on the disk.
    if (spool_.empty() && may_try() && deliver(spool_.run_id(), batch) == Delivery::kDone) continue;
    auto kept = spool_.append(batch);
    if (kept) continue;
    // Memory keeps it, in front of what has come since.
    put_back(std::move(batch), taken);
    std::lock_guard lock(mutex_);
    disk_error_ = std::move(kept).error().message;
    std::move(queued_.metrics.begin(), queued_.metrics.end(), std::back_inserter(taken.metrics));
    std::move(queued_.params.begin(), queued_.params.end(), std::back_inserter(taken.params));
    std::move(queued_.tags.begin(), queued_.tags.end(), std::back_inserter(taken.tags));
    if (queued_.end) taken.end = std::move(queued_.end);
    queued_ = std::move(taken);
    return;
  }
}

LogQueue::Delivery LogQueue::send_front(Spool& spool) {
  auto batch = spool.front();
  if (!batch) {
    keep_error(spool.run_id(), std::move(batch).error());
    spool.set_aside();
    return Delivery::kDone;
  }
  Delivery delivery = deliver(spool.run_id(), *batch);
  if (delivery != Delivery::kDone) return delivery;
  if (auto popped = spool.pop(); !popped) keep_error(spool.run_id(), std::move(popped).error());
  return Delivery::kDone;
}

void LogQueue::send_left_behind() {
  if (left_behind_.empty() || !spool_.empty() || !may_try()) return;
  if (!other_) {
    auto opened = Spool::open(left_behind_.front(), spool_.server());
    if (opened)
      other_ = std::move(*opened);
    else if (opened.error().code == Code::kInvalid)
      log_warning("{}", opened.error().message);
  }
  bool over = !other_ || other_->empty() || send_front(*other_) == Delivery::kNotHere || other_->empty();
  if (!over) return;
  other_.reset();
  left_behind_.pop_front();
}

bool LogQueue::may_try() const { return Clock::now() >= next_try_; }

void LogQueue::keep_error(const std::string& run_id, Error error) {
  if (run_id != spool_.run_id()) return log_warning("run {}, which ended earlier: {}", run_id, error.message);
  std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

LogQueue::Delivery LogQueue::postpone(Error why) {
  // A little random, so that many programs do not come back at the same moment.
  next_try_ =
      Clock::now() + pause_ + std::chrono::milliseconds(random_u64() % static_cast<uint64_t>(pause_.count()));
  pause_ = std::min(pause_ * 2, kLongestPause);
  Delivery delivery = why.code == Code::kDenied ? Delivery::kNotHere : Delivery::kAway;
  std::lock_guard lock(mutex_);
  if (!away_) away_since_ = Clock::now();
  away_ = std::move(why);
  return delivery;
}

// One bad item makes the server refuse its whole batch: the others are found by halving. A run that is not
// there takes none; an earlier one may be in another store that is served at this address at other times.
LogQueue::Delivery LogQueue::deliver(const std::string& run_id, const LogBatch& batch) {
  auto sent = send_(run_id, batch);
  if (!sent && !is_refusal(sent.error().code)) return postpone(std::move(sent).error());
  pause_ = kFirstPause;
  {
    std::lock_guard lock(mutex_);
    away_.reset();
  }
  if (sent) return Delivery::kDone;
  bool gone = sent.error().code == Code::kNotFound;
  if (gone && other_ && run_id == other_->run_id() && run_id != spool_.run_id()) {
    log_warning("{} stays where it is: {}", other_->path().string(), sent.error().message);
    return Delivery::kNotHere;
  }
  if (batch.size() == 1 || gone) {
    keep_error(run_id, std::move(sent).error());
    return Delivery::kDone;
  }
  auto [first, second] = split(batch);
  Delivery delivery = deliver(run_id, first);
  return delivery == Delivery::kDone ? deliver(run_id, second) : delivery;
}

}  // namespace tidemill::sdk
