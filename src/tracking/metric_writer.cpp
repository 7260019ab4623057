#include "tracking/metric_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tracking/chunk_summary.h"

namespace tidemill::tracking {
namespace {

constexpr size_t kMaxCachedSeries = 4096;  // about five megabytes

Result<bool> holds(const Chunk& chunk, const Point& point) {
  std::vector<Point> points;
  TRY(decode_chunk(chunk.bytes(), points));
  return std::any_of(points.begin(), points.end(),
                     [&](const Point& other) { return same_point(point, other); });
}

// Summaries fill a row up to here.
constexpr size_t kMaxSummaryBytes = 16 * kChunkSummaryBytes;

}  // namespace

double finite(double value) {
  constexpr double kMax = std::numeric_limits<double>::max();
  return std::isinf(value) ? std::copysign(kMax, value) : value;
}

Result<MetricWriter::Series*> MetricWriter::find(db::Connection& connection, Id id) {
  if (auto found = series_.find(id); found != series_.end()) return &found->second;
  Series series;
  db::Statement row = TRY(connection.prepare(
      "SELECT m.timestamp, m.step, m.value, m.is_nan, m.tail, t.data, m.lowest, "
      "m.highest FROM metrics m LEFT JOIN metric_tails t ON t.id = m.tail WHERE m.run = ? AND m.key = ?"));
  if (TRY(row.bind(id.run, id.key).step())) {
    series.stored = true;
    series.latest = {row.integer(0), row.integer(1),
                     row.integer(3) ? std::numeric_limits<double>::quiet_NaN() : row.real(2)};
    series.tail = row.optional_integer(4);
    series.extremes = {row.optional_real(6), row.optional_real(7)};
    if (series.tail) series.chunk = TRY_IN(connection.name(), Chunk::load(row.text(5)));
  }
  return &series_.emplace(id, series).first->second;
}

Result<> MetricWriter::add(db::Connection& connection, Id id, Series& series, const Point& point) {
  bool is_latest = !(series.stored || series.changed) || later(point, series.latest);
  // A repeated request ends here; a repetition of points that are in full chunks is left to the reader.
  if (!is_latest && TRY(holds(series.chunk, point))) return {};
  if (is_latest) series.latest = point;
  series.extremes.add(point.value);
  series.changed = true;
  if (series.chunk.append(point)) return {};
  TRY(store_full_chunk(connection, id, series.chunk));
  series.chunk = Chunk();
  series.chunk.append(point);
  return {};
}

Result<> MetricWriter::store_full_chunk(db::Connection& connection, Id id, const Chunk& chunk) {
  int64_t row = TRY(connection.insert("INSERT INTO metric_chunks (run, key, data) VALUES (?, ?, ?)", id.run,
                                      id.key, db::Blob{chunk.bytes()}));
  std::vector<Point> points;
  TRY(decode_chunk(chunk.bytes(), points));
  int64_t part = 0;
  std::string summaries;
  {
    db::Statement newest = TRY(connection.prepare(
        "SELECT part, data FROM metric_summaries WHERE run = ? AND key = ? ORDER BY part DESC LIMIT 1"));
    if (TRY(newest.bind(id.run, id.key).step())) {
      part = newest.integer(0);
      if (newest.text(1).size() < kMaxSummaryBytes)
        summaries = newest.text(1);
      else
        ++part;
    }
  }
  append_summary(summarize(row, points), summaries);
  return connection.run(
      "INSERT INTO metric_summaries (run, key, part, data) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (run, key, part) DO UPDATE SET data = excluded.data",
      id.run, id.key, part, db::Blob{summaries});
}

Result<> MetricWriter::store(db::Connection& connection, Id id, Series& series) {
  db::Blob data{series.chunk.bytes()};
  bool new_tail = !series.tail;
  if (series.tail) {
    TRY(connection.run("UPDATE metric_tails SET data = ? WHERE id = ?", data, *series.tail));
  } else {
    series.tail = TRY(connection.insert("INSERT INTO metric_tails (data) VALUES (?)", data));
  }
  const Point& latest = series.latest;
  bool nan = std::isnan(latest.value);
  double value = nan ? 0 : latest.value;
  if (series.stored && !new_tail) {
    TRY(connection.run(
        "UPDATE metrics SET step = ?, timestamp = ?, value = ?, is_nan = ?, lowest = ?, highest = ? "
        "WHERE run = ? AND key = ?",
        latest.step, latest.timestamp, value, nan, series.extremes.lowest(), series.extremes.highest(),
        id.run, id.key));
  } else {
    TRY(connection.run(
        "INSERT INTO metrics (run, key, step, timestamp, value, is_nan, tail, lowest, highest) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, key) DO UPDATE SET step = excluded.step, "
        "timestamp = excluded.timestamp, value = excluded.value, is_nan = excluded.is_nan, "
        "tail = excluded.tail, lowest = excluded.lowest, highest = excluded.highest",
        id.run, id.key, latest.step, latest.timestamp, value, nan, series.tail, series.extremes.lowest(),
        series.extremes.highest()));
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

Result<> MetricWriter::append(db::Connection& connection, int64_t run, int64_t key,
                              std::span<const Point> points) {
  if (series_.size() > kMaxCachedSeries) series_.clear();
  Id id{run, key};
  Series* series = TRY(find(connection, id));
  for (const Point& point : points)
    TRY(add(connection, id, *series, {point.timestamp, point.step, finite(point.value)}));
  return series->changed ? store(connection, id, *series) : Result<>();
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

}  // namespace tidemill::tracking
