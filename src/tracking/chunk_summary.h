// What a full chunk of a metric holds, so that windows and outlines of a long metric are read without
// decoding its points. Private to this folder.
//
// Format of one: 112 bytes, little-endian: the chunk's id, number of points (4 bytes), flags (4 bytes), then
// timestamp, step and value of four points: first, last, lowest, highest.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/chunk.h"

namespace tidemill::tracking {

// The lowest and the highest of numbers; NaN is left out.
class Extremes {
 public:
  Extremes() = default;
  Extremes(std::optional<double> lowest, std::optional<double> highest)
      : lowest_(lowest.value_or(kNone)), highest_(highest.value_or(kNone)) {}
  void add(double value) {
    if (value < lowest_ || std::isnan(lowest_)) lowest_ = value;
    if (value > highest_ || std::isnan(highest_)) highest_ = value;
  }
  std::optional<double> lowest() const { return optional(lowest_); }  // nullopt: there was none
  std::optional<double> highest() const { return optional(highest_); }

 private:
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  static std::optional<double> optional(double value) {
    return std::isnan(value) ? std::nullopt : std::optional(value);
  }
  double lowest_ = kNone, highest_ = kNone;
};

// MLflow's order of a history: timestamp, step, value, with NaN behind zero.
bool earlier_in_history(const Point& a, const Point& b);
// The order of a chart: step, timestamp, value.
bool earlier_by_step(const Point& a, const Point& b);

struct ChunkSummary {
  int64_t chunk = 0;  // metric_chunks.id
  uint32_t count = 0;
  bool in_history_order = false;  // strictly: no point twice
  bool in_step_order = false;
  // lowest and highest by value, NaN apart: a chunk of nothing but NaN has its first point there.
  Point first, last, lowest, highest;
};

inline constexpr size_t kChunkSummaryBytes = 112;

// points must not be empty.
ChunkSummary summarize(int64_t chunk, std::span<const Point> points);
void append_summary(const ChunkSummary& summary, std::string& out);
// Appends the row's summaries. kInternal when the bytes are no whole number of them.
Result<> decode_summaries(std::string_view bytes, std::vector<ChunkSummary>& out);

}  // namespace tidemill::tracking
