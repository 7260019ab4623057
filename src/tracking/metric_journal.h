// Where the points of small calls wait, durably, until there are enough of them to be worth putting into
// their chunks: a group of calls writes one row at the end of one table, not two pages for each metric. The
// idea is the log-structured merge-tree's (O'Neil et al., Acta Informatica 33, 1996). Whoever reads metrics,
// or ends or removes a run, has the journal settled first (Store::State::read_metrics,
// WriteCache::settled_metrics); the order in which points reach their chunks does not matter.
#pragma once

#include <cstdint>
#include <string>

#include "db/database.h"
#include "tracking/metric_writer.h"

namespace tidemill::tracking {

class MetricJournal {
 public:
  // Larger batches are better put into their chunks at once.
  static constexpr size_t kMaxCallPoints = 64;

  // To be called at the start of a transaction: what was added for one that was undone is forgotten.
  void begin() { added_.clear(); }
  void add(int64_t run, int64_t key, const Point& point);
  // Writes what was added; to be called before the transaction's end.
  Result<> write(db::Connection& connection);
  // So much waits that it should be settled.
  bool full() const;
  // Nothing waits that this program has written; another one may have.
  bool empty() const { return written_ == 0; }
  // Puts into their chunks all points that wait, also those that other programs have left.
  Result<> settle(db::Connection& connection, MetricWriter& metrics);

 private:
  std::string added_;
  size_t written_ = 0;  // bytes, since the last settle()
};

Result<bool> has_journaled_points(db::Connection& connection);

}  // namespace tidemill::tracking
