#include "exchange/pushed.h"

#include <span>

#include "base/json_numbers.h"
#include "exchange/mlflow_json.h"

namespace tidemill::exchange {
namespace {

using tracking::KeyValue;

constexpr size_t kMostPairs = 100, kMostMetrics = 1000;  // in a batch

Json json_of(std::span<const tracking::Metric> metrics) {
  Json list = Json::array();
  for (const auto& metric : metrics)
    list.push_back(Json{{"key", metric.key},
                        {"value", json_of_real(metric.value)},
                        {"timestamp", metric.timestamp},
                        {"step", metric.step}});
  return list;
}

// Calls send(part) for parts of at most `most`.
template <class T, class Send>
Result<> in_parts(const std::vector<T>& all, size_t most, Send send) {
  for (std::span<const T> rest = all; !rest.empty(); rest = rest.subspan(std::min(most, rest.size())))
    TRY(send(rest.first(std::min(most, rest.size()))));
  return {};
}

}  // namespace

Result<PushedExperiment> push_experiment(MlflowApi& api, const std::string& name,
                                         const std::vector<KeyValue>& tags) {
  auto found = api.get("experiments/get-by-name", {{"experiment_name", name}});
  if (!found && found.error().code != Code::kNotFound) return tl::unexpected<Error>(std::move(found).error());
  if (!found) {
    Json reply = TRY(api.post("experiments/create", Json{{"name", name}, {"tags", json_of(tags)}}));
    return PushedExperiment{json_string(reply, "experiment_id"), true};
  }
  Json there = found->value("experiment", Json::object());
  if (json_string(there, "lifecycle_stage") == "deleted")
    return fail(Code::kConflict, "is deleted there; restore it first");
  PushedExperiment pushed{json_string(there, "experiment_id")};
  for (const auto& [key, value] : tags)
    TRY(api.post("experiments/set-experiment-tag",
                 Json{{"experiment_id", pushed.id}, {"key", key}, {"value", value}}));
  return pushed;
}

Result<std::optional<PushedRun>> find_pushed_run(MlflowApi& api, const std::string& experiment,
                                                 const std::string& run_id, tracking::ViewType view) {
  constexpr int kMost = 100;  // pushed again each time that the one there was deleted
  Json reply = TRY(api.post("runs/search",
                            Json{{"experiment_ids", {experiment}},
                                 {"filter", fmt::format("tags.`{}` = '{}'", kPushedFromTag, run_id)},
                                 {"run_view_type", view == tracking::ViewType::kAll ? "ALL" : "ACTIVE_ONLY"},
                                 {"max_results", kMost}}));
  std::optional<PushedRun> found;
  for (const Json& run : reply.value("runs", Json::array())) {
    Json info = run.value("info", Json::object());
    found = {json_string(info, "run_id"), json_string(info, "artifact_uri"),
             json_string(info, "lifecycle_stage") == "deleted"};
    if (!found->is_deleted) break;
  }
  return found;
}

Result<std::optional<PushedRun>> find_same_run(MlflowApi& api, const std::string& run_id) {
  auto found = api.get("runs/get", {{"run_id", run_id}});
  if (!found && found.error().code == Code::kNotFound) return std::nullopt;
  const Json info = TRY(std::move(found)).value("run", Json::object()).value("info", Json::object());
  return PushedRun{json_string(info, "run_id"), json_string(info, "artifact_uri"),
                   json_string(info, "lifecycle_stage") == "deleted"};
}

Result<PushedRun> create_pushed_run(MlflowApi& api, const std::string& experiment, const tracking::Run& run,
                                    std::vector<KeyValue> tags) {
  tags.emplace_back(kPushedFromTag, run.info.id);
  Json reply = TRY(api.post("runs/create", Json{{"experiment_id", experiment},
                                                {"user_id", run.info.user},
                                                {"run_name", run.info.name},
                                                {"start_time", run.info.start_time},
                                                {"tags", json_of(tags)}}));
  Json info = reply.value("run", Json::object()).value("info", Json::object());
  return PushedRun{json_string(info, "run_id"), json_string(info, "artifact_uri")};
}

Result<> push_batch(MlflowApi& api, const std::string& run, const tracking::Batch& batch) {
  auto send = [&](std::string_view kind) {
    return [&api, &run, kind](auto part) -> Result<> {
      TRY(api.post("runs/log-batch", Json{{"run_id", run}, {kind, json_of(part)}}));
      return {};
    };
  };
  TRY(in_parts(batch.params, kMostPairs, send("params")));
  TRY(in_parts(batch.tags, kMostPairs, send("tags")));
  return in_parts(batch.metrics, kMostMetrics, send("metrics"));
}

}  // namespace tidemill::exchange
