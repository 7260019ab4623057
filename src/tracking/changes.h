// What changes in a store, for those who show it: told at the commit, for nothing when nobody listens.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::tracking {

class Store;

struct RunChange {
  int64_t experiment = 0;
  bool created = false;
  bool updated = false;                // status, name, parameters, tags, inputs, artifacts, deletion
  bool finished = false;               // it has a status that ends it
  std::set<std::string> metrics = {};  // that got points
};
struct Changes {
  std::map<std::string, RunChange> runs;  // by id
  std::set<int64_t> experiments;          // made, renamed, deleted, tagged
  // What is not listed: another process has written, or there was too much to list.
  bool elsewhere = false;
  bool lost = false;
  bool empty() const { return runs.empty() && experiments.empty() && !elsewhere && !lost; }
};

// Between the writer of a store and its watches. note() and its like are called inside a group of writes,
// publish() when that has been committed. What a failed part of a group noted may be told, too: a change too
// many does no harm.
class ChangeFeed {
 public:
  bool watched() const { return watches_.load(std::memory_order_relaxed) > 0; }
  void began(bool changed_elsewhere);
  // The run's entry of this group, to be filled; only when watched().
  RunChange& run(std::string_view run_id, int64_t experiment);
  void experiment(int64_t id);
  void publish();

  struct Inbox {
    std::mutex mutex;
    Changes changes;
  };
  void attach(std::shared_ptr<Inbox> inbox);
  void detach(const std::shared_ptr<Inbox>& inbox);

 private:
  void deliver(const Changes& changes);

  std::atomic<int> watches_ = 0;
  Changes group_;  // only the committing thread touches it
  std::mutex mutex_;
  std::vector<std::shared_ptr<Inbox>> inboxes_;
};

// Collects the changes of a store while it lives. Thread-safe.
class ChangeWatch {
 public:
  // The store must outlive it.
  explicit ChangeWatch(Store& store);
  ~ChangeWatch();
  ChangeWatch(const ChangeWatch&) = delete;
  ChangeWatch& operator=(const ChangeWatch&) = delete;

  // Since the last call, or the beginning. Asks the database whether another process has written: a short
  // write transaction that writes nothing.
  Result<Changes> take();

 private:
  Result<> ask();

  Store& store_;
  std::shared_ptr<ChangeFeed::Inbox> inbox_;
};

}  // namespace tidemill::tracking
