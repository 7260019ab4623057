// What a run has logged and the server has not yet been told: sent in batches by a thread of its own, which
// puts on the disk what cannot be sent now, and sends what earlier runs have left there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "log_batch.h"
#include "spool.h"

namespace tidemill::sdk {

class LogQueue {
 public:
  // Delivers one batch, within the limits of one log-batch call, in one attempt. kInvalid, kNotFound and
  // kConflict are refusals of what is in it; every other error means that the server cannot be told now, and
  // the batch is sent again later.
  using Send = std::function<tidemill::Result<>(const std::string& run_id, const LogBatch&)>;

  // patience: how long flush() waits for a server that is away.
  LogQueue(Send send, Spool spool, std::chrono::milliseconds patience);
  // Tries once more to send what is left; what then is left stays on the disk, and a warning says so. What
  // earlier runs left is sent for as long as the server takes it, but no longer than `patience`.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;

  void add_metrics(std::vector<QueuedMetric> metrics);
  void add_param(std::string key, std::string value);
  void add_tag(std::string key, std::string value);
  void add_end(RunEnd end);  // sent after all that was added before
  // Waits until everything added before has been delivered or refused. The first error since the last flush;
  // kUnavailable when the server stays away, kDenied when it lets this program write no more.
  tidemill::Result<> flush();

 private:
  using Clock = std::chrono::steady_clock;
  // kNotHere: this server does not take it from this program, but another may.
  enum class Delivery { kDone, kAway, kNotHere };

  template <class Add>
  void add(size_t items, Add add);
  bool due() const;
  void run();
  void wait(std::unique_lock<std::mutex>& lock);
  void work_off(LogBacklog taken);
  Delivery send_front(Spool& spool);
  void send_left_behind();  // one batch of it
  Delivery deliver(const std::string& run_id, const LogBatch& batch);
  Delivery postpone(tidemill::Error why);
  bool may_try() const;
  void keep_error(const std::string& run_id, tidemill::Error error);
  tidemill::Error backlog_error() const;

  const Send send_;
  const std::chrono::milliseconds patience_;

  // The thread's own.
  Spool spool_;
  std::deque<fs::path> left_behind_;
  std::optional<Spool> other_;  // the first of left_behind_, once it is open
  std::chrono::milliseconds pause_;
  Clock::time_point next_try_ = {};

  mutable std::mutex mutex_;
  std::condition_variable wake_, drained_;
  LogBacklog queued_;
  std::optional<tidemill::Error> error_;
  std::optional<tidemill::Error> away_;  // why the server cannot be told now
  Clock::time_point away_since_;
  std::string kept_in_;  // where what it cannot be told lies; "": all is sent
  std::string
      disk_error_;  // the queue begins with what can be neither sent nor written down, because of this
  bool working_ = false, asked_ = false, flushing_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace tidemill::sdk
