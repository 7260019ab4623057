#include "exchange/mlflow_json.h"

#include "base/json_numbers.h"

namespace tidemill::exchange {
namespace {

const Json& member(const Json& object, std::string_view key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

std::optional<int64_t> integer(const Json& object, std::string_view key) {
  return json_integer(member(object, key));
}

Result<std::string> needed(const Json& object, std::string_view key) {
  std::string text = object.is_object() ? json_string(object, key) : "";
  if (text.empty()) return fail(Code::kInvalid, "the server's reply lacks '{}'", key);
  return text;
}

std::string text(const Json& object, std::string_view key) {
  return object.is_object() ? json_string(object, key) : "";
}

std::optional<std::string> optional_text(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

std::vector<tracking::KeyValue> pairs(const Json& object, std::string_view key) {
  std::vector<tracking::KeyValue> found;
  for (const Json& pair : member(object, key))
    if (std::string name = text(pair, "key"); !name.empty()) found.emplace_back(name, text(pair, "value"));
  return found;
}

tracking::Lifecycle lifecycle(const Json& object) {
  return text(object, "lifecycle_stage") == "deleted" ? tracking::Lifecycle::kDeleted
                                                      : tracking::Lifecycle::kActive;
}

}  // namespace

Json json_of(std::span<const tracking::KeyValue> pairs) {
  Json list = Json::array();
  for (const auto& [key, value] : pairs) list.push_back(Json{{"key", key}, {"value", value}});
  return list;
}

Result<tracking::Experiment> experiment_from(const Json& json) {
  tracking::Experiment experiment;
  experiment.id = TRY(needed(json, "experiment_id"));
  experiment.name = TRY(needed(json, "name"));
  experiment.artifact_location = text(json, "artifact_location");
  experiment.lifecycle = lifecycle(json);
  experiment.created = integer(json, "creation_time").value_or(0);
  experiment.updated = integer(json, "last_update_time").value_or(experiment.created);
  experiment.tags = pairs(json, "tags");
  return experiment;
}

Result<tracking::Metric> metric_from(const Json& json) {
  std::optional<double> value = json_real(member(json, "value"));
  if (!value) return fail(Code::kInvalid, "the server's reply has a metric without a value");
  return tracking::Metric{TRY(needed(json, "key")), *value, integer(json, "timestamp").value_or(0),
                          integer(json, "step").value_or(0)};
}

Result<tracking::Run> run_from(const Json& json) {
  const Json& info = member(json, "info");
  const Json& data = member(json, "data");
  tracking::Run run;
  run.info.id = TRY(needed(info, "run_id"));
  run.info.name = text(info, "run_name");
  run.info.experiment_id = TRY(needed(info, "experiment_id"));
  run.info.user = text(info, "user_id");
  run.info.status = tracking::run_status_from(text(info, "status")).value_or(tracking::RunStatus::kRunning);
  run.info.start_time = integer(info, "start_time").value_or(0);
  run.info.end_time = integer(info, "end_time");
  if (run.info.end_time == 0) run.info.end_time.reset();
  run.info.artifact_uri = text(info, "artifact_uri");
  run.info.lifecycle = lifecycle(info);
  run.params = pairs(data, "params");
  run.tags = pairs(data, "tags");
  for (const Json& metric : member(data, "metrics")) run.metrics.push_back(TRY(metric_from(metric)));
  for (const Json& input : member(member(json, "inputs"), "dataset_inputs")) {
    const Json& dataset = member(input, "dataset");
    std::string name = TRY(needed(dataset, "name")), digest = TRY(needed(dataset, "digest"));
    run.datasets.push_back({.dataset = {.name = std::move(name),
                                        .digest = std::move(digest),
                                        .source_type = text(dataset, "source_type"),
                                        .source = text(dataset, "source"),
                                        .schema = optional_text(dataset, "schema"),
                                        .profile = optional_text(dataset, "profile")},
                            .tags = pairs(input, "tags")});
  }
  for (const Json& model : member(member(json, "inputs"), "model_inputs"))
    run.model_inputs.push_back(TRY(needed(model, "model_id")));
  for (const Json& model : member(member(json, "outputs"), "model_outputs"))
    run.model_outputs.push_back({TRY(needed(model, "model_id")), integer(model, "step").value_or(0)});
  return run;
}

Result<tracking::LoggedModel> logged_model_from(const Json& json) {
  const Json& info = member(json, "info");
  const Json& data = member(json, "data");
  tracking::LoggedModel model;
  model.id = TRY(needed(info, "model_id"));
  model.experiment_id = TRY(needed(info, "experiment_id"));
  model.name = text(info, "name");
  model.model_type = text(info, "model_type");
  model.source_run_id = text(info, "source_run_id");
  model.artifact_uri = text(info, "artifact_uri");
  model.status =
      tracking::model_status_from(text(info, "status")).value_or(tracking::ModelStatus::kUnspecified);
  model.created = integer(info, "creation_timestamp_ms").value_or(0);
  model.updated = integer(info, "last_updated_timestamp_ms").value_or(model.created);
  model.tags = pairs(info, "tags");
  model.params = pairs(data, "params");
  for (const Json& metric : member(data, "metrics"))
    model.metrics.push_back({.metric = TRY(metric_from(metric)),
                             .run_id = text(metric, "run_id"),
                             .dataset_name = text(metric, "dataset_name"),
                             .dataset_digest = text(metric, "dataset_digest")});
  return model;
}

Result<tracking::RegisteredModel> registered_model_from(const Json& json) {
  tracking::RegisteredModel model;
  model.name = TRY(needed(json, "name"));
  model.created = integer(json, "creation_timestamp").value_or(0);
  model.updated = integer(json, "last_updated_timestamp").value_or(model.created);
  model.description = text(json, "description");
  model.tags = pairs(json, "tags");
  for (const Json& alias : member(json, "aliases"))
    if (auto version = integer(alias, "version"))
      model.aliases.push_back({TRY(needed(alias, "alias")), *version});
  for (const Json& version : member(json, "latest_versions"))
    model.latest_versions.push_back(TRY(model_version_from(version)));
  return model;
}

Result<tracking::ModelVersion> model_version_from(const Json& json) {
  tracking::ModelVersion version;
  version.name = TRY(needed(json, "name"));
  version.version = integer(json, "version").value_or(0);
  if (version.version < 1) return fail(Code::kInvalid, "the server's reply has a version without a number");
  version.created = integer(json, "creation_timestamp").value_or(0);
  version.updated = integer(json, "last_updated_timestamp").value_or(version.created);
  if (std::string description = text(json, "description"); !description.empty())
    version.description = std::move(description);
  std::string stage = text(json, "current_stage");
  version.stage = TRY(tracking::parse_stage(stage.empty() ? "None" : stage));
  version.source = text(json, "source");
  version.run_id = text(json, "run_id");
  version.run_link = text(json, "run_link");
  version.model_id = text(json, "model_id");
  version.tags = pairs(json, "tags");
  for (const Json& alias : member(json, "aliases"))
    if (alias.is_string()) version.aliases.push_back(alias.get<std::string>());
  return version;
}

}  // namespace tidemill::exchange
