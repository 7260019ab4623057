#include "tracking/metric_series.h"

#include <algorithm>
#include <limits>

#include "tracking/metric_reader.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {
namespace {

constexpr size_t kMaxPoints = 10'000;
constexpr size_t kMaxSeries = 10'000;
constexpr size_t kMaxPointsOfAll = 2'000'000;

// Sorts what follows each other into stretches of equal width.
class Stretches {
 public:
  Stretches(Series& series, size_t count, const PointOrder& order, PointRange range)
      : series_(series),
        count_(count),
        order_(order),
        first_(static_cast<double>(range.first)),
        width_(static_cast<double>(range.last) - first_ + 1) {}

  void add(double lowest, double highest, const Point& last) {
    double share = (static_cast<double>(order_.place(last)) - first_) / width_;
    auto stretch = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_));
    stretch = std::min(stretch, count_ - 1);
    if (series_.x.empty() || stretch != stretch_) {
      stretch_ = stretch;
      extremes_ = {};
      series_.x.push_back(0);
      for (auto* values : {&series_.lowest, &series_.highest, &series_.last}) values->push_back(0);
    }
    extremes_.add(lowest);
    extremes_.add(highest);
    series_.x.back() = order_.place(last);
    series_.last.back() = last.value;
    series_.lowest.back() = extremes_.lowest().value_or(last.value);
    series_.highest.back() = extremes_.highest().value_or(last.value);
  }

 private:
  Series& series_;
  size_t count_;
  const PointOrder& order_;
  double first_, width_;
  size_t stretch_ = 0;
  Extremes extremes_;
};

void add_points(Series& series, const std::vector<Point>& points, const PointOrder& order) {
  for (const Point& point : points) {
    series.x.push_back(order.place(point));
    series.last.push_back(point.value);
  }
}

// Fills all but run and key.
Result<Series> read_one(MetricReader reader, const PointOrder& order, size_t max_points,
                        const std::optional<PointRange>& range) {
  Series series;
  Outline outline = TRY(reader.outline(order, range));
  // Half as many chunks as stretches draw the line well enough.
  if (outline.is_long() && outline.chunks.size() >= max_points / 2) {
    if (range) TRY(reader.cut_ends(outline, order, *range));
    series.count = outline.count();
    const auto& [chunks, points] = outline;
    const Point& end = points.empty() ? chunks.back().last : points.back();
    PointRange all{order.place(chunks.front().first), order.place(end)};
    Stretches stretches(series, max_points, order, range.value_or(all));
    for (const ChunkSummary& chunk : chunks)
      stretches.add(chunk.lowest.value, chunk.highest.value, chunk.last);
    for (const Point& point : points) stretches.add(point.value, point.value, point);
    return series;
  }
  std::vector<Point> points = TRY(reader.decode(std::move(outline), order, range));
  series.count = points.size();
  if (points.size() <= max_points) {
    add_points(series, points, order);
    return series;
  }
  PointRange all{order.place(points.front()), order.place(points.back())};
  Stretches stretches(series, max_points, order, range.value_or(all));
  for (const Point& point : points) stretches.add(point.value, point.value, point);
  return series;
}

Result<> check(const SeriesQuery& query) {
  if (query.points < 1 || query.points > kMaxPoints)
    return fail(Code::kInvalid, "A line has from 1 to {} points, and {} were asked for", kMaxPoints,
                query.points);
  size_t runs = query.run_ids.size(), keys = query.keys.size();
  if (runs > kMaxSeries || keys > kMaxSeries || runs * keys > kMaxSeries)
    return fail(Code::kInvalid, "{} metrics of {} runs are more than the {} lines that one answer holds",
                keys, runs, kMaxSeries);
  if (runs * keys * query.points > kMaxPointsOfAll)
    return fail(
        Code::kInvalid,
        "{} points for each of {} lines are more than the {} that one answer holds: ask for fewer points",
        query.points, runs * keys, kMaxPointsOfAll);
  if (query.range && query.range->first > query.range->last)
    return fail(Code::kInvalid, "The range ends at {} before it begins at {}", query.range->last,
                query.range->first);
  return {};
}

struct RunStart {
  int64_t row, time;
};

Result<std::optional<RunStart>> find_run(db::Connection& connection, const std::string& run_id) {
  db::Statement row = TRY(connection.prepare("SELECT id, start_time FROM runs WHERE uuid = ?"));
  if (!TRY(row.bind(run_id).step())) return std::nullopt;
  return RunStart{row.integer(0), row.integer(1)};
}

using Int64 = std::numeric_limits<int64_t>;

// Absurd times stay at the ends instead of overflowing.
int64_t plus(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? Int64::max() : Int64::min();
}
int64_t minus(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b > 0 ? Int64::min() : Int64::max();
}

}  // namespace

Result<SeriesOfRuns> read_series(Store& store, const SeriesQuery& query) {
  TRY(check(query));
  const PointOrder& order = query.axis == Axis::kStep ? kByStep : kByTime;
  return store.state().read_metrics<SeriesOfRuns>([&](Reader& reader) -> Result<SeriesOfRuns> {
    db::Connection& connection = *reader.connection;
    std::vector<std::optional<int64_t>> keys;
    for (const std::string& key : query.keys) keys.push_back(TRY(find_key(connection, key)));
    SeriesOfRuns all;
    for (const std::string& run_id : query.run_ids) {
      std::optional<RunStart> run = TRY(find_run(connection, run_id));
      if (!run) {
        all.missing_runs.push_back(run_id);
        continue;
      }
      int64_t origin = query.axis == Axis::kRelative ? run->time : 0;
      std::optional<PointRange> range = query.range;
      if (range) range = {plus(range->first, origin), plus(range->last, origin)};
      for (size_t k = 0; k < keys.size(); ++k) {
        if (!keys[k]) continue;
        Series series =
            TRY(read_one(MetricReader(connection, run->row, *keys[k]), order, query.points, range));
        if (series.x.empty()) continue;
        for (int64_t& x : series.x) x = minus(x, origin);
        series.run_id = run_id;
        series.key = query.keys[k];
        all.series.push_back(std::move(series));
      }
    }
    return all;
  });
}

}  // namespace tidemill::tracking
