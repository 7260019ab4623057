// Shares results while the run goes on: one thread copies them, one after the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "engine/shared_cache.h"
#include "tracking/store.h"

namespace tidemill::engine {

class Publisher {
 public:
  // Both outlive this.
  Publisher(const SharedCache& cache, tracking::Store& store);
  // Leaves what is not shared yet, unless finish() was called.
  ~Publisher();

  struct Item {
    std::string step, key, run_id, outputs;
    fs::path artifacts;
    SharedCache::Existing existing = SharedCache::Existing::kKeep;
  };
  // A result that is recorded.
  void add(Item item);
  // Returns when all is shared, or the user interrupts. What cannot be shared is told as a warning: the run
  // itself is as good without.
  void finish();

 private:
  void work();
  Result<> share(const Item& item) const;

  const SharedCache& cache_;
  tracking::Store& store_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool busy_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace tidemill::engine
