// What a full chunk of a metric holds, so that windows and outlines of a long metric are read without
// decoding its points. Private to this folder.
//
// Format of one: 112 bytes, little-endian: the chunk's id, number of points (4 bytes), flags (4 bytes), then
// timestamp, step and value of four points: first, last, lowest, highest.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/chunk.h"

namespace tidemill::tracking {

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
