#include "tracking/chunk_summary.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <tuple>

namespace tidemill::tracking {
namespace {

static_assert(std::endian::native == std::endian::little, "summaries are stored as this machine has them");

constexpr uint32_t kInHistoryOrder = 1, kInStepOrder = 2;

struct Stored {
  int64_t chunk;
  uint32_t count, flags;
  Point points[4];
};
static_assert(sizeof(Stored) == kChunkSummaryBytes && std::is_trivially_copyable_v<Stored>);

std::pair<double, bool> order_value(double value) {
  bool nan = std::isnan(value);
  return {nan ? 0 : value, nan};
}

}  // namespace

bool earlier_in_history(const Point& a, const Point& b) {
  return std::tuple(a.timestamp, a.step, order_value(a.value)) <
         std::tuple(b.timestamp, b.step, order_value(b.value));
}

bool earlier_by_step(const Point& a, const Point& b) {
  return std::tuple(a.step, a.timestamp, order_value(a.value)) <
         std::tuple(b.step, b.timestamp, order_value(b.value));
}

ChunkSummary summarize(int64_t chunk, std::span<const Point> points) {
  ChunkSummary summary{.chunk = chunk,
                       .count = static_cast<uint32_t>(points.size()),
                       .in_history_order = true,
                       .in_step_order = true,
                       .first = points.front(),
                       .last = points.back(),
                       .lowest = points.front(),
                       .highest = points.front()};
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& point = points[i];
    if (i > 0) {
      summary.in_history_order = summary.in_history_order && earlier_in_history(points[i - 1], point);
      summary.in_step_order = summary.in_step_order && !earlier_by_step(point, points[i - 1]);
    }
    if (point.value < summary.lowest.value || std::isnan(summary.lowest.value)) summary.lowest = point;
    if (point.value > summary.highest.value || std::isnan(summary.highest.value)) summary.highest = point;
  }
  return summary;
}

void append_summary(const ChunkSummary& summary, std::string& out) {
  Stored stored{
      .chunk = summary.chunk,
      .count = summary.count,
      .flags = (summary.in_history_order ? kInHistoryOrder : 0) | (summary.in_step_order ? kInStepOrder : 0),
      .points = {summary.first, summary.last, summary.lowest, summary.highest}};
  out.append(reinterpret_cast<const char*>(&stored), sizeof stored);
}

Result<> decode_summaries(std::string_view bytes, std::vector<ChunkSummary>& out) {
  if (bytes.size() % kChunkSummaryBytes != 0)
    return fail(Code::kInternal, "damaged metric summaries: {} bytes", bytes.size());
  for (; !bytes.empty(); bytes.remove_prefix(kChunkSummaryBytes)) {
    Stored stored;
    std::memcpy(&stored, bytes.data(), sizeof stored);
    out.push_back({.chunk = stored.chunk,
                   .count = stored.count,
                   .in_history_order = (stored.flags & kInHistoryOrder) != 0,
                   .in_step_order = (stored.flags & kInStepOrder) != 0,
                   .first = stored.points[0],
                   .last = stored.points[1],
                   .lowest = stored.points[2],
                   .highest = stored.points[3]});
  }
  return {};
}

}  // namespace tidemill::tracking
