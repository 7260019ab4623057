// A loop over independent pieces of work on a few threads.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"
#include "sys/signals.h"

namespace tidemill::cifar10 {

// Threads worth starting: the cores this process may run on.
inline int core_count() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// Calls work(i, worker) -> Result<> for each i of 0..count-1, in any order, worker in 0..threads-1. After the
// first error, or an interrupt (kCancelled), no more pieces are started; that error is returned once all
// threads are idle.
template <class Work>
Result<> parallel_for(size_t count, int threads, Work&& work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::optional<Error> first_error;
  auto stop_with = [&](Error error) {
    std::lock_guard lock(mutex);
    next = count;
    if (!first_error) first_error = std::move(error);
  };
  auto loop = [&](int worker) {
    for (size_t i; (i = next.fetch_add(1)) < count;) {
      if (interrupted()) return stop_with(Error{Code::kCancelled, "interrupted"});
      if (Result<> done = work(i, worker); !done) return stop_with(std::move(done).error());
    }
  };
  std::vector<std::jthread> workers;
  for (int worker = 1; worker < threads; ++worker) workers.emplace_back(loop, worker);
  loop(0);
  workers.clear();
  if (first_error) return tl::unexpected<Error>(std::move(*first_error));
  return {};
}

}  // namespace tidemill::cifar10
