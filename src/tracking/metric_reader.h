// Reads the points of one metric of one run: all, a page, or an outline. Private to this folder.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "db/database.h"
#include "tracking/chunk_summary.h"
#include "tracking/metric_history.h"

namespace tidemill::tracking {

class MetricReader {
 public:
  MetricReader(db::Connection& connection, int64_t run, int64_t key)
      : connection_(connection), run_(run), key_(key) {}

  struct PagePart {
    std::vector<Point> points;
    bool more = false;
  };
  // By (timestamp, step, value), identical points once. limit 0: to the end.
  Result<PagePart> page(size_t offset, size_t limit);
  // By step, at most max_points: see MetricHistory::sampled.
  Result<std::vector<Point>> sample(size_t max_points, const std::optional<StepRange>& range);

 private:
  // The chunks that have summaries, in the order of their ids; empty when some older chunk has none.
  Result<std::vector<ChunkSummary>> summaries();
  Result<> read_chunks(int64_t first_id, int64_t last_id, std::vector<Point>& points);
  // Appends the points behind the summarised chunks: of the newest chunk or two, and of the open one.
  Result<> read_rest(const std::vector<ChunkSummary>& summarized, std::vector<Point>& points);
  Result<> cut_ends(std::vector<ChunkSummary>& chunks, const StepRange& range);

  db::Connection& connection_;
  int64_t run_, key_;
};

}  // namespace tidemill::tracking
