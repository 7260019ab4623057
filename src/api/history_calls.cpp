#include "api/replies.h"
#include "api/service.h"

namespace tidemill::api {
namespace {

constexpr size_t kMaxRuns = 100;
constexpr int64_t kMaxBulkPoints = 25'000;
constexpr int64_t kMaxSampledPoints = 2'500;  // of each run

std::string histories_reply(std::string_view key, const std::vector<tracking::RunHistory>& histories) {
  JsonWriter json;
  json.begin_object().key("metrics").begin_array();
  for (const auto& [run_id, points] : histories)
    for (const tracking::Point& point : points) {
      json.begin_object().field("key", key).key("value").number(point.value);
      json.key("timestamp").integer(point.timestamp).key("step").integer(point.step);
      json.field("run_id", run_id).end_object();
    }
  json.end_array().end_object();
  return json.take();
}

Result<std::optional<tracking::PointRange>> range_of(const Params& params) {
  std::optional<int64_t> start = TRY(params.integer("start_step"));
  std::optional<int64_t> end = TRY(params.integer("end_step"));
  if (start.has_value() != end.has_value())
    return fail(Code::kInvalid, "If either start step or end step are specified, both must be specified.");
  if (!start) return std::nullopt;
  if (*start > *end)
    return fail(Code::kInvalid,
                "end_step must be greater than start_step. Found start_step={} and end_step={}.", *start,
                *end);
  return tracking::PointRange{*start, *end};
}

}  // namespace

Result<std::string> metric_history(Service& service, const Params& params) {
  std::string id = TRY(params.run_id());
  std::string key = TRY(params.required_text("metric_key"));
  std::optional<int64_t> max_results = TRY(params.integer("max_results"));
  if (max_results && *max_results < 1)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be a positive integer.",
                *max_results);
  auto page =
      TRY(service.store.metric_history(id, key, max_results.value_or(0), TRY(params.text("page_token"))));
  JsonWriter json;
  json.begin_object();
  if (!page.items.empty()) {
    json.key("metrics").begin_array();
    for (const auto& metric : page.items) write(json, metric);
    json.end_array();
  }
  if (!page.next_page_token.empty()) json.field("next_page_token", page.next_page_token);
  json.end_object();
  return json.take();
}

Result<std::string> metric_histories(Service& service, const Params& params) {
  std::vector<std::string> runs = TRY(params.texts("run_id"));
  if (runs.empty())
    return fail(Code::kInvalid, "GetMetricHistoryBulk request must specify at least one run_id.");
  if (runs.size() > kMaxRuns)
    return fail(Code::kInvalid,
                "GetMetricHistoryBulk request cannot specify more than {} run_ids. Received {} run_ids.",
                kMaxRuns, runs.size());
  std::string key = TRY(params.text("metric_key"));
  if (key.empty()) return fail(Code::kInvalid, "GetMetricHistoryBulk request must specify a metric_key.");
  int64_t max_results = TRY(params.integer("max_results")).value_or(kMaxBulkPoints);
  auto limit = static_cast<size_t>(std::clamp<int64_t>(max_results, 0, kMaxBulkPoints));
  tracking::MetricHistory history(service.store);
  return histories_reply(key, TRY(history.of_runs(std::move(runs), key, limit)));
}

Result<std::string> sampled_metric_histories(Service& service, const Params& params) {
  std::vector<std::string> runs = TRY(params.required_texts("run_ids"));
  if (runs.size() > kMaxRuns)
    return fail(Code::kInvalid,
                "GetMetricHistoryBulkInterval request must specify at most {} run_ids. Received {} run_ids.",
                kMaxRuns, runs.size());
  std::string key = TRY(params.required_text("metric_key"));
  int64_t max_results = TRY(params.integer("max_results")).value_or(kMaxSampledPoints);
  if (max_results < 1 || max_results > kMaxSampledPoints)
    return fail(Code::kInvalid,
                "max_results must be between 1 and {}. See the API docs for more information about request "
                "parameters.",
                kMaxSampledPoints);
  std::optional<tracking::PointRange> range = TRY(range_of(params));
  tracking::MetricHistory history(service.store);
  return histories_reply(key, TRY(history.sampled(runs, key, static_cast<size_t>(max_results), range)));
}

}  // namespace tidemill::api
