// Many callers, one write connection, one fsync. The thread that leads takes all waiting requests, runs them
// in one transaction (each in a savepoint of its own where it can fail half-way, so that it takes nothing
// with it), commits once, and tells their callers. Callers that were just answered usually come again at
// once: they are waited for a little, since one flush for all is cheaper than two. A caller that waits for
// its request leads when no other does; those that hand requests over and go on call settle(), which leads
// when nobody does, and lets them bring more requests meanwhile. There is no thread behind it: a lone caller
// pays for no hand-over, and a program that only reads starts nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "db/database.h"
#include "sys/wakeful.h"

namespace tidemill::tracking {

class GroupCommit {
 public:
  using Clock = std::chrono::steady_clock;
  using Duration = Clock::duration;

  // What caches over the connection's data need to know.
  struct Observer {
    virtual ~Observer() = default;
    virtual void began(bool changed_elsewhere) = 0;  // another connection has committed since the last group
    virtual void undone() = 0;                       // something that a request wrote was taken back
    virtual Result<> ending(db::Connection& connection) = 0;  // what is left to write before the commit
    virtual void committed() = 0;
  };

  // Whose disk a commit waits for: this process's, or that of a server, which wakes itself.
  enum class Flush { kHere, kElsewhere };

  GroupCommit(std::unique_ptr<db::Connection> connection, Observer& observer, Flush flush)
      : connection_(std::move(connection)), observer_(observer), flush_(flush) {}

  // When work may return an error that is its caller's fault: before it has written anything, or also later.
  enum class Fails { kBeforeWriting, kAnywhere };
  // When the database itself fails (not the request), work may run a second time, so it must only assign to
  // what it captured.
  using Work = std::function<Result<>(db::Connection&)>;
  using Done = std::function<void(Result<>)>;

  // Runs work and returns when its effects are on disk.
  template <class Callable>
  Result<> run(Callable&& work, Fails fails = Fails::kAnywhere) {
    Request request{.work = std::ref(work), .fails = fails};
    return wait_for(request);
  }

  // Leaves work to whoever leads next; done is called by that thread once its effects are on disk. Whoever
  // adds calls settle() soon.
  void add(Work work, Done done, Fails fails);
  // Commits a group of what waits, and says in what time it is to be called again when there is more. Returns
  // at once when another thread is at it. While callers that were just answered are expected to come again it
  // does nothing, and says how long.
  std::optional<Duration> settle();

  uint64_t commits() const { return commits_; }    // so far, each with one flush
  uint64_t requests() const { return requests_; }  // in them

 private:
  struct Request {
    Work work;
    Fails fails = Fails::kAnywhere;
    Done done = {};  // empty: its caller waits
    Result<> result{};
    bool finished = false;
    bool leads = false;
    std::condition_variable wake{};
  };
  using Group = std::vector<std::shared_ptr<Request>>;

  Result<> wait_for(Request& request);
  std::optional<Duration> lead(std::unique_lock<std::mutex>& lock, const Request* own);
  void commit_next(std::unique_lock<std::mutex>& lock);
  bool all_are_there() const;
  Duration patience() const;
  void enqueue(std::shared_ptr<Request> request);
  bool hand_over();
  void commit(std::span<const std::shared_ptr<Request>> group);
  // False when the database failed and nothing was kept.
  Result<> try_commit(std::span<const std::shared_ptr<Request>> group);
  Result<bool> perform(Request& request);

  std::unique_ptr<db::Connection> connection_;
  Observer& observer_;
  const Flush flush_;
  Wakeful wakeful_;
  std::optional<int64_t> data_version_;  // of the last group; only the leader touches it, as the connection

  std::mutex mutex_;
  std::deque<std::shared_ptr<Request>> waiting_;
  bool led_ = false;
  bool led_by_waiter_ = false;  // by a caller that has its own request to answer: to be relieved soon
  Request* relief_ = nullptr;   // a settle() that waits to take the lead
  std::atomic<uint64_t> commits_ = 0, requests_ = 0;
  size_t callers_ = 0;                // at work when the last group was committed
  std::condition_variable gathered_;  // as many wait again
  Clock::time_point gathering_since_{};
  Duration commit_time_{};  // of the last group
};

}  // namespace tidemill::tracking
