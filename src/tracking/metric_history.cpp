#include "tracking/metric_history.h"

#include <algorithm>

#include "tracking/metric_reader.h"
#include "tracking/page_token.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {

static Result<std::optional<int64_t>> find_run(db::Connection& connection, std::string_view run_id) {
  db::Statement row = TRY(connection.prepare("SELECT id FROM runs WHERE uuid = ?"));
  if (!TRY(row.bind(run_id).step())) return std::nullopt;
  return row.integer(0);
}

Result<Page<Metric>> Store::metric_history(std::string_view run_id, std::string_view key, int64_t max_results,
                                           std::string_view page_token) {
  int64_t offset = TRY(parse_page_token(page_token));
  return state_->read_metrics<Page<Metric>>([&](Reader& reader) -> Result<Page<Metric>> {
    db::Connection& connection = *reader.connection;
    std::optional<int64_t> run = TRY(find_run(connection, run_id));
    if (!run) return tl::unexpected<Error>(no_run(run_id));
    Page<Metric> page;
    std::optional<int64_t> key_id = TRY(find_key(connection, key));
    if (!key_id) return page;
    auto [points, more] = TRY(MetricReader(connection, *run, *key_id)
                                  .page(static_cast<size_t>(offset), static_cast<size_t>(max_results)));
    page.items.reserve(points.size());
    for (const Point& point : points)
      page.items.push_back({std::string(key), point.value, point.timestamp, point.step});
    if (more) page.next_page_token = make_page_token(offset + max_results);
    return page;
  });
}

Result<std::vector<RunHistory>> MetricHistory::of_runs(std::vector<std::string> run_ids, std::string_view key,
                                                       size_t max_results) {
  using Histories = std::vector<RunHistory>;
  std::sort(run_ids.begin(), run_ids.end());
  run_ids.erase(std::unique(run_ids.begin(), run_ids.end()), run_ids.end());
  return state_.read_metrics<Histories>([&](Reader& reader) -> Result<Histories> {
    db::Connection& connection = *reader.connection;
    Histories histories;
    std::optional<int64_t> key_id = TRY(find_key(connection, key));
    for (const std::string& run_id : run_ids) {
      if (!key_id || max_results == 0) break;
      std::optional<int64_t> run = TRY(find_run(connection, run_id));
      if (!run) continue;
      auto part = TRY(MetricReader(connection, *run, *key_id).page(0, max_results));
      max_results -= part.points.size();
      histories.push_back({run_id, std::move(part.points)});
    }
    return histories;
  });
}

Result<std::vector<RunHistory>> MetricHistory::sampled(const std::vector<std::string>& run_ids,
                                                       std::string_view key, size_t max_points,
                                                       const std::optional<PointRange>& range) {
  using Histories = std::vector<RunHistory>;
  return state_.read_metrics<Histories>([&](Reader& reader) -> Result<Histories> {
    db::Connection& connection = *reader.connection;
    Histories histories;
    std::optional<int64_t> key_id = TRY(find_key(connection, key));
    for (const std::string& run_id : run_ids) {
      std::optional<int64_t> run = TRY(find_run(connection, run_id));
      if (!run) return tl::unexpected<Error>(no_run(run_id));
      if (!key_id) continue;
      std::vector<Point> points = TRY(MetricReader(connection, *run, *key_id).sample(max_points, range));
      histories.push_back({run_id, std::move(points)});
    }
    return histories;
  });
}

}  // namespace tidemill::tracking
