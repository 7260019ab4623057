#include "tracking/metric_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tidemill::tracking {
namespace {

constexpr size_t kExactPoints = 20'000;  // so many are decoded without a second thought
constexpr int64_t kLastId = std::numeric_limits<int64_t>::max();

template <class Before>
void sort_points(std::vector<Point>& points, Before before) {
  if (!std::is_sorted(points.begin(), points.end(), before)) std::sort(points.begin(), points.end(), before);
  points.erase(std::unique(points.begin(), points.end(), same_point), points.end());
}

// Each chunk is in order and begins behind the end of the one before, the newest points too: reading them in
// a row sorts the points.
template <class Before>
bool in_order(const std::vector<ChunkSummary>& chunks, const std::vector<Point>& newest,
              bool ChunkSummary::* chunk_in_order, Before before) {
  for (size_t i = 0; i < chunks.size(); ++i)
    if (!(chunks[i].*chunk_in_order) || (i > 0 && !before(chunks[i - 1].last, chunks[i].first))) return false;
  return chunks.empty() || newest.empty() || before(chunks.back().last, newest.front());
}

// The first point of each of max_points stretches of equal length (SQL's NTILE), and the last point of all.
std::vector<Point> thin_out(std::vector<Point> points, size_t max_points) {
  size_t count = points.size();
  if (count <= max_points) return points;
  std::vector<Point> kept;
  for (size_t i = 0; i < max_points; ++i)
    kept.push_back(points[i * (count / max_points) + std::min(i, count % max_points)]);
  kept.back() = points.back();
  return kept;
}

void keep(std::vector<Point>& kept, const Point& point) {
  if (kept.empty() || !same_point(kept.back(), point)) kept.push_back(point);
}

bool lower(const Point& a, const Point& b) { return a.value < b.value || std::isnan(b.value); }
bool higher(const Point& a, const Point& b) { return a.value > b.value || std::isnan(b.value); }

// Lowest and highest point of each of so many stretches, between the first and the last point of all.
std::vector<Point> outline_of(const std::vector<ChunkSummary>& chunks, size_t stretches) {
  std::vector<Point> kept = {chunks.front().first};
  for (size_t i = 0; i < stretches; ++i) {
    size_t begin = i * chunks.size() / stretches, end = (i + 1) * chunks.size() / stretches;
    Point lowest = chunks[begin].lowest, highest = chunks[begin].highest;
    for (size_t c = begin + 1; c < end; ++c) {
      if (lower(chunks[c].lowest, lowest)) lowest = chunks[c].lowest;
      if (higher(chunks[c].highest, highest)) highest = chunks[c].highest;
    }
    if (earlier_by_step(highest, lowest)) std::swap(lowest, highest);
    keep(kept, lowest);
    keep(kept, highest);
  }
  keep(kept, chunks.back().last);
  return kept;
}

size_t count_of(const std::vector<ChunkSummary>& chunks) {
  size_t count = 0;
  for (const ChunkSummary& chunk : chunks) count += chunk.count;
  return count;
}

void cut_to(std::vector<Point>& points, const PointOrder& order, const PointRange& range) {
  std::erase_if(points, [&](const Point& point) {
    return order.place(point) < range.first || order.place(point) > range.last;
  });
}

}  // namespace

size_t Outline::count() const { return count_of(chunks) + points.size(); }
bool Outline::is_long() const { return count_of(chunks) > kExactPoints; }

Result<std::vector<ChunkSummary>> MetricReader::summaries() {
  std::vector<ChunkSummary> all;
  db::Statement row =
      TRY(connection_.prepare("SELECT data FROM metric_summaries WHERE run = ? AND key = ? ORDER BY part"));
  row.bind(run_, key_);
  while (TRY(row.step())) TRY_IN(connection_.name(), decode_summaries(row.text(0), all));
  if (all.empty()) return all;
  db::Statement oldest =
      TRY(connection_.prepare("SELECT min(id) FROM metric_chunks WHERE run = ? AND key = ?"));
  TRY(oldest.bind(run_, key_).step());
  // An older Tidemill wrote chunks without summaries.
  if (oldest.is_null(0) || oldest.integer(0) != all.front().chunk) all.clear();
  return all;
}

Result<> MetricReader::read_chunks(int64_t first_id, int64_t last_id, std::vector<Point>& points) {
  db::Statement row = TRY(connection_.prepare(
      "SELECT data FROM metric_chunks WHERE run = ? AND key = ? AND id BETWEEN ? AND ? ORDER BY id"));
  row.bind(run_, key_, first_id, last_id);
  while (TRY(row.step())) TRY_IN(connection_.name(), decode_chunk(row.text(0), points));
  return {};
}

Result<> MetricReader::read_rest(const std::vector<ChunkSummary>& summarized, std::vector<Point>& points) {
  TRY(read_chunks(summarized.empty() ? 0 : summarized.back().chunk + 1, kLastId, points));
  db::Statement tail =
      TRY(connection_.prepare("SELECT t.data FROM metrics m JOIN metric_tails t ON t.id = m.tail "
                              "WHERE m.run = ? AND m.key = ?"));
  if (TRY(tail.bind(run_, key_).step())) TRY_IN(connection_.name(), decode_chunk(tail.text(0), points));
  return {};
}

Result<MetricReader::PagePart> MetricReader::page(size_t offset, size_t limit) {
  std::vector<ChunkSummary> chunks = limit == 0 ? std::vector<ChunkSummary>() : TRY(summaries());
  std::vector<Point> newest;
  TRY(read_rest(chunks, newest));
  sort_points(newest, earlier_in_history);
  if (!in_order(chunks, newest, &ChunkSummary::in_history_order, earlier_in_history)) {
    chunks.clear();
    newest.clear();
    TRY(read_rest(chunks, newest));
    sort_points(newest, earlier_in_history);
  }
  size_t end = limit == 0 ? std::numeric_limits<size_t>::max() : offset + limit;
  size_t skipped = 0, first = 0;
  while (first < chunks.size() && skipped + chunks[first].count <= offset) skipped += chunks[first++].count;
  size_t covered = skipped, last = first;
  while (last < chunks.size() && covered < end) covered += chunks[last++].count;
  std::vector<Point> points;
  if (first < last) TRY(read_chunks(chunks[first].chunk, chunks[last - 1].chunk, points));
  if (last == chunks.size()) points.insert(points.end(), newest.begin(), newest.end());
  auto place = [&](size_t rank) {
    return points.begin() + static_cast<ptrdiff_t>(std::min(rank - skipped, points.size()));
  };
  PagePart part{.points = {place(std::max(offset, skipped)), place(std::max(end, skipped))},
                .more = end < count_of(chunks) + newest.size()};
  return part;
}

Result<Outline> MetricReader::outline(const PointOrder& order, const std::optional<PointRange>& range) {
  Outline outline{.chunks = TRY(summaries()), .points = {}};
  auto& [chunks, points] = outline;
  TRY(read_rest(chunks, points));
  sort_points(points, order.earlier);
  if (!in_order(chunks, points, order.in_order, order.earlier)) {
    chunks.clear();
    points.clear();
    TRY(read_rest(chunks, points));
    sort_points(points, order.earlier);
  }
  if (range) {
    std::erase_if(chunks, [&](const ChunkSummary& chunk) {
      return order.place(chunk.last) < range->first || order.place(chunk.first) > range->last;
    });
    cut_to(points, order, *range);
  }
  return outline;
}

Result<> MetricReader::cut_ends(Outline& outline, const PointOrder& order, const PointRange& range) {
  auto& chunks = outline.chunks;
  auto cut = [&](std::vector<ChunkSummary>::iterator chunk) -> Result<> {
    if (order.place(chunk->first) >= range.first && order.place(chunk->last) <= range.last) return {};
    std::vector<Point> points;
    TRY(read_chunks(chunk->chunk, chunk->chunk, points));
    cut_to(points, order, range);
    if (points.empty())
      chunks.erase(chunk);
    else
      *chunk = summarize(chunk->chunk, points);
    return {};
  };
  if (!chunks.empty()) TRY(cut(chunks.end() - 1));
  if (!chunks.empty()) TRY(cut(chunks.begin()));
  return {};
}

Result<std::vector<Point>> MetricReader::decode(Outline outline, const PointOrder& order,
                                                const std::optional<PointRange>& range) {
  const auto& chunks = outline.chunks;
  if (!chunks.empty()) TRY(read_chunks(chunks.front().chunk, chunks.back().chunk, outline.points));
  if (range) cut_to(outline.points, order, *range);
  sort_points(outline.points, order.earlier);
  return std::move(outline.points);
}

Result<std::vector<Point>> MetricReader::sample(size_t max_points, const std::optional<PointRange>& range) {
  Outline outline = TRY(this->outline(kByStep, range));
  size_t stretches = max_points < 4 ? 0 : (max_points - 2) / 2;
  if (stretches > 0 && outline.is_long() && outline.chunks.size() > stretches + 2) {
    if (range) TRY(cut_ends(outline, kByStep, *range));
    if (!outline.points.empty()) outline.chunks.push_back(summarize(kLastId, outline.points));
    return outline_of(outline.chunks, stretches);
  }
  return thin_out(TRY(decode(std::move(outline), kByStep, range)), max_points);
}

Result<Extremes> MetricReader::extremes() {
  std::vector<ChunkSummary> chunks = TRY(summaries());
  std::vector<Point> points;
  TRY(read_rest(chunks, points));
  Extremes extremes;
  for (const ChunkSummary& chunk : chunks) {
    extremes.add(chunk.lowest.value);
    extremes.add(chunk.highest.value);
  }
  for (const Point& point : points) extremes.add(point.value);
  return extremes;
}

}  // namespace tidemill::tracking
