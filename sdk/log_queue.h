// What a run has logged and the server has not yet been told: sent in batches by a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"

namespace tidemill::sdk {

struct QueuedMetric {
  std::string key;
  double value;
  int64_t timestamp, step;
};

struct LogBatch {
  std::vector<QueuedMetric> metrics;
  std::vector<std::pair<std::string, std::string>> params, tags;

  size_t size() const { return metrics.size() + params.size() + tags.size(); }
};

class LogQueue {
 public:
  // Delivers one batch within the limits of one log-batch call. kInvalid, kNotFound and kConflict are
  // refusals; every other error means that nothing will get through any more, retries included.
  using Send = std::function<Result<>(const LogBatch&)>;

  explicit LogQueue(Send send);
  ~LogQueue();  // sends what is left
  LogQueue(const LogQueue&) = delete;

  void add_metrics(std::vector<QueuedMetric> metrics);
  void add_param(std::string key, std::string value);
  void add_tag(std::string key, std::string value);
  // Waits until everything added before has been delivered or refused. The first error since the last flush.
  Result<> flush();

 private:
  void run();
  bool has_room(size_t items);
  void wake_if_due(size_t added);
  LogBatch take_batch();
  void deliver(const LogBatch& batch);
  void keep_error(Error error);

  Send send_;
  std::mutex mutex_;
  std::condition_variable wake_, drained_;
  LogBatch queued_;
  std::optional<Error> error_;
  bool sending_ = false, flushing_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace tidemill::sdk
