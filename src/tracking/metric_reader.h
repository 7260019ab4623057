// Reads the points of one metric of one run: all, a page, or an outline. Private to this folder.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "db/database.h"
#include "tracking/chunk_summary.h"
#include "tracking/metric_history.h"

namespace tidemill::tracking {

// How the points of a chart follow each other.
struct PointOrder {
  bool ChunkSummary::* in_order;
  bool (*earlier)(const Point&, const Point&);
  int64_t (*place)(const Point&);
};
inline constexpr PointOrder kByStep{&ChunkSummary::in_step_order, earlier_by_step,
                                    [](const Point& point) { return point.step; }};
inline constexpr PointOrder kByTime{&ChunkSummary::in_history_order, earlier_in_history,
                                    [](const Point& point) { return point.timestamp; }};

// The points of a metric in an order: full chunks as what is known of them, and points behind those.
struct Outline {
  std::vector<ChunkSummary> chunks;
  std::vector<Point> points;
  size_t count() const;
  bool is_long() const;  // so that decoding all chunks would be felt
};

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
  Result<std::vector<Point>> sample(size_t max_points, const std::optional<PointRange>& range);
  // Of all points.
  Result<Extremes> extremes();
  // What lies in the range; chunks at its ends may reach out of it.
  Result<Outline> outline(const PointOrder& order, const std::optional<PointRange>& range);
  // Summarises only what of the first and the last chunk lies in the range.
  Result<> cut_ends(Outline& outline, const PointOrder& order, const PointRange& range);
  // All of the outline's points in the range, in order, identical ones once.
  Result<std::vector<Point>> decode(Outline outline, const PointOrder& order,
                                    const std::optional<PointRange>& range);

 private:
  // The chunks that have summaries, in the order of their ids; empty when some older chunk has none.
  Result<std::vector<ChunkSummary>> summaries();
  Result<> read_chunks(int64_t first_id, int64_t last_id, std::vector<Point>& points);
  // Appends the points behind the summarised chunks: of the newest chunk or two, and of the open one.
  Result<> read_rest(const std::vector<ChunkSummary>& summarized, std::vector<Point>& points);

  db::Connection& connection_;
  int64_t run_, key_;
};

}  // namespace tidemill::tracking
