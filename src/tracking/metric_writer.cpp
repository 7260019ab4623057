#include "tracking/metric_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace tidemill::tracking {
namespace {

constexpr size_t kMaxCachedSeries = 4096;  // about five megabytes

Result<bool> holds(const Chunk& chunk, const Point& point) {
  std::vector<Point> points;
  TRY(decode_chunk(chunk.bytes(), points));
  return std::any_of(points.begin(), points.end(),
                     [&](const Point& other) { return same_point(point, other); });
}

auto history_order(const Point& point) {
  bool nan = std::isnan(point.value);
  return std::tuple(point.timestamp, point.step, nan ? 0 : point.value, nan);
}

}  // namespace

double finite(double value) {
  constexpr double kMax = std::numeric_limits<double>::max();
  return std::isinf(value) ? std::copysign(kMax, value) : value;
}

Result<MetricWriter::Series*> MetricWriter::find(db::Connection& connection, Id id) {
  if (auto found = series_.find(id); found != series_.end()) return &found->second;
  Series series;
  db::Statement row =
      TRY(connection.prepare("SELECT m.timestamp, m.step, m.value, m.is_nan, m.tail, t.data FROM metrics m "
                             "LEFT JOIN metric_tails t ON t.id = m.tail WHERE m.run = ? AND m.key = ?"));
  if (TRY(row.bind(id.run, id.key).step())) {
    series.stored = true;
    series.latest = {row.integer(0), row.integer(1),
                     row.integer(3) ? std::numeric_limits<double>::quiet_NaN() : row.real(2)};
    series.tail = row.optional_integer(4);
    if (series.tail) series.chunk = TRY_IN(connection.name(), Chunk::load(row.text(5)));
  }
  return &series_.emplace(id, series).first->second;
}

Result<> MetricWriter::add(db::Connection& connection, Id id, Series& series, const Point& point) {
  bool is_latest = !(series.stored || series.changed) || later(point, series.latest);
  // A repeated request ends here; a repetition of points that are in full chunks is left to the reader.
  if (!is_latest && TRY(holds(series.chunk, point))) return {};
  if (is_latest) series.latest = point;
  series.changed = true;
  if (series.chunk.append(point)) return {};
  TRY(connection.run("INSERT INTO metric_chunks (run, key, data) VALUES (?, ?, ?)", id.run, id.key,
                     db::Blob{series.chunk.bytes()}));
  series.chunk = Chunk();
  series.chunk.append(point);
  return {};
}

Result<> MetricWriter::store(db::Connection& connection, Id id, Series& series) {
  db::Blob data{series.chunk.bytes()};
  bool new_tail = !series.tail;
  if (series.tail) {
    TRY(connection.run("UPDATE metric_tails SET data = ? WHERE id = ?", data, *series.tail));
  } else {
    db::Statement insert = TRY(connection.prepare("INSERT INTO metric_tails (data) VALUES (?) RETURNING id"));
    TRY(insert.bind(data).step());
    series.tail = insert.integer(0);
  }
  const Point& latest = series.latest;
  bool nan = std::isnan(latest.value);
  double value = nan ? 0 : latest.value;
  if (series.stored && !new_tail) {
    TRY(connection.run(
        "UPDATE metrics SET step = ?, timestamp = ?, value = ?, is_nan = ? WHERE run = ? AND key = ?",
        latest.step, latest.timestamp, value, nan, id.run, id.key));
  } else {
    TRY(connection.run(
        "INSERT INTO metrics (run, key, step, timestamp, value, is_nan, tail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, key) DO UPDATE SET step = excluded.step, "
        "timestamp = excluded.timestamp, value = excluded.value, is_nan = excluded.is_nan, "
        "tail = excluded.tail",
        id.run, id.key, latest.step, latest.timestamp, value, nan, series.tail));
  }
  series.stored = true;
  series.changed = false;
  return {};
}

Result<> MetricWriter::append(db::Connection& connection, KeyIds& keys, int64_t run,
                              const std::vector<Metric>& metrics) {
  if (series_.size() > kMaxCachedSeries) series_.clear();
  std::vector<std::pair<Id, Series*>> changed;
  const std::string* last_key = nullptr;
  Id id{run, 0};
  Series* series = nullptr;
  for (const Metric& metric : metrics) {
    if (!last_key || *last_key != metric.key) {
      id.key = TRY(keys.id(connection, metric.key));
      series = TRY(find(connection, id));
      last_key = &metric.key;
    }
    bool was_changed = series->changed;
    TRY(add(connection, id, *series, {metric.timestamp, metric.step, finite(metric.value)}));
    if (series->changed && !was_changed) changed.emplace_back(id, series);
  }
  for (auto& [key, one] : changed) TRY(store(connection, key, *one));
  return {};
}

Result<> MetricWriter::seal(db::Connection& connection, int64_t run) {
  TRY(
      connection.run("INSERT INTO metric_chunks (run, key, data) SELECT m.run, m.key, t.data FROM metrics m "
                     "JOIN metric_tails t ON t.id = m.tail WHERE m.run = ?",
                     run));
  TRY(connection.run("DELETE FROM metric_tails WHERE id IN (SELECT tail FROM metrics WHERE run = ?)", run));
  TRY(connection.run("UPDATE metrics SET tail = NULL WHERE run = ? AND tail IS NOT NULL", run));
  std::erase_if(series_, [&](const auto& entry) { return entry.first.run == run; });
  return {};
}

Result<std::vector<Point>> read_points(db::Connection& connection, int64_t run, int64_t key) {
  std::vector<Point> points;
  db::Statement chunks =
      TRY(connection.prepare("SELECT data FROM metric_chunks WHERE run = ? AND key = ? ORDER BY id"));
  chunks.bind(run, key);
  while (TRY(chunks.step())) TRY_IN(connection.name(), decode_chunk(chunks.text(0), points));
  db::Statement tail =
      TRY(connection.prepare("SELECT t.data FROM metrics m JOIN metric_tails t ON t.id = m.tail "
                             "WHERE m.run = ? AND m.key = ?"));
  if (TRY(tail.bind(run, key).step())) TRY_IN(connection.name(), decode_chunk(tail.text(0), points));
  auto before = [](const Point& a, const Point& b) { return history_order(a) < history_order(b); };
  if (!std::is_sorted(points.begin(), points.end(), before)) std::sort(points.begin(), points.end(), before);
  points.erase(std::unique(points.begin(), points.end(), same_point), points.end());
  return points;
}

}  // namespace tidemill::tracking
