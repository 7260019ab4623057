// Threads for work that may block. They are started as they are needed, and stay.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tidemill {

class WorkerPool {
 public:
  explicit WorkerPool(int max_threads) : max_threads_(static_cast<size_t>(max_threads)) {}
  ~WorkerPool() { stop(); }

  void post(std::function<void()> task);
  // Runs what has been posted to its end; nothing may be posted any more.
  void stop();

 private:
  void work();

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace tidemill
