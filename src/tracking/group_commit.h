// Many callers, one write connection, one fsync. A caller that finds no other at work leads: it takes all
// waiting requests, runs them in one transaction (each in a savepoint of its own, so that one that fails
// takes nothing with it), commits once, and wakes their callers; the next waiting caller then leads. There is
// no thread behind it: a lone caller pays for no hand-over, and a program that only reads starts nothing.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <type_traits>

#include "base/result.h"
#include "db/database.h"

namespace tidemill::tracking {

class GroupCommit {
 public:
  // What caches over the connection's data need to know.
  struct Observer {
    virtual ~Observer() = default;
    virtual void began(bool changed_elsewhere) = 0;  // another connection has committed since the last group
    virtual void undone() = 0;                       // something that a request wrote was taken back
  };

  GroupCommit(std::unique_ptr<db::Connection> connection, Observer& observer)
      : connection_(std::move(connection)), observer_(observer) {}

  // Runs work(connection) and returns when its effects are on disk. When the database itself fails (not the
  // request), work may run a second time, so it must only assign to what it captured.
  template <class Work>
  Result<> run(Work&& work) {
    using Plain = std::remove_reference_t<Work>;
    Request request{
        [](void* context, db::Connection& connection) { return (*static_cast<Plain*>(context))(connection); },
        const_cast<void*>(static_cast<const void*>(&work))};
    return wait_for(request);
  }

 private:
  struct Request {
    Result<> (*call)(void*, db::Connection&);
    void* context;
    Result<> result{};
    bool done = false;
    bool leads = false;
    std::condition_variable wake{};
  };

  Result<> wait_for(Request& request);
  void commit(std::span<Request* const> group);
  // False when the database failed and nothing was kept.
  Result<> try_commit(std::span<Request* const> group);

  std::unique_ptr<db::Connection> connection_;
  Observer& observer_;
  int64_t data_version_ = -1;  // only the leader touches it, as the connection

  std::mutex mutex_;
  std::deque<Request*> waiting_;
  bool led_ = false;
};

}  // namespace tidemill::tracking
