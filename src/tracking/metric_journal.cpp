#include "tracking/metric_journal.h"

#include <bit>
#include <cstring>
#include <map>
#include <vector>

#include "base/log.h"

namespace tidemill::tracking {
namespace {

static_assert(std::endian::native == std::endian::little, "points are journaled as this machine has them");

struct Journaled {
  int64_t run, key;
  Point point;
};
static_assert(sizeof(Journaled) == 40 && std::is_trivially_copyable_v<Journaled>);

constexpr size_t kFullBytes = 4096 * sizeof(Journaled);

using PointsByMetric = std::map<std::pair<int64_t, int64_t>, std::vector<Point>>;

Result<> decode(std::string_view bytes, PointsByMetric& out) {
  if (bytes.size() % sizeof(Journaled) != 0)
    return fail(Code::kInternal, "damaged metric journal: a row of {} bytes", bytes.size());
  for (; !bytes.empty(); bytes.remove_prefix(sizeof(Journaled))) {
    Journaled entry;
    std::memcpy(&entry, bytes.data(), sizeof entry);
    out[{entry.run, entry.key}].push_back(entry.point);
  }
  return {};
}

}  // namespace

void MetricJournal::add(int64_t run, int64_t key, const Point& point) {
  Journaled entry{run, key, point};
  added_.append(reinterpret_cast<const char*>(&entry), sizeof entry);
}

Result<> MetricJournal::write(db::Connection& connection) {
  if (added_.empty()) return {};
  TRY(connection.run("INSERT INTO metric_journal (data) VALUES (?)", db::Blob{added_}));
  written_ += added_.size();
  added_.clear();
  return {};
}

bool MetricJournal::full() const { return written_ >= kFullBytes; }

Result<> MetricJournal::settle(db::Connection& connection, MetricWriter& metrics) {
  TRY(write(connection));
  PointsByMetric points;
  {
    db::Statement row = TRY(connection.prepare("SELECT data FROM metric_journal ORDER BY id"));
    while (TRY(row.step())) TRY_IN(connection.name(), decode(row.text(0), points));
  }
  TRY(connection.run("DELETE FROM metric_journal"));
  written_ = 0;
  for (const auto& [metric, added] : points) {
    auto [run, key] = metric;
    auto put = metrics.append(connection, run, key, added);
    if (put) continue;
    if (put.error().code != Code::kInternal) return put;
    // Its chunk is damaged: reading it says so. The points stay here and harm no other metric.
    log_error("{}", put.error().message);
    for (const Point& point : added) add(run, key, point);
  }
  TRY(write(connection));
  written_ = 0;
  return {};
}

Result<bool> has_journaled_points(db::Connection& connection) {
  db::Statement row = TRY(connection.prepare("SELECT 1 FROM metric_journal LIMIT 1"));
  return row.step();
}

}  // namespace tidemill::tracking
