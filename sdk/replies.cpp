#include "replies.h"

#include <algorithm>
#include <array>

#include "base/json_numbers.h"
#include "base/result.h"

namespace tidemill::sdk {
namespace {

constexpr std::array<std::pair<RunStatus, std::string_view>, 5> kStatuses{
    {{RunStatus::kRunning, "RUNNING"},
     {RunStatus::kScheduled, "SCHEDULED"},
     {RunStatus::kFinished, "FINISHED"},
     {RunStatus::kFailed, "FAILED"},
     {RunStatus::kKilled, "KILLED"}}};

std::optional<int64_t> integer(const Json& object, std::string_view key) {
  return json_integer(member(object, key));
}

tidemill::Result<std::string> needed(const Json& object, std::string_view key) {
  std::string text = json_string(object, key);
  if (text.empty()) return fail(Code::kInternal, "the server's reply lacks '{}'", key);
  return text;
}

std::map<std::string, std::string> pairs(const Json& object, std::string_view key) {
  std::map<std::string, std::string> found;
  for (const Json& pair : member(object, key))
    if (std::string name = json_string(pair, "key"); !name.empty()) found[name] = json_string(pair, "value");
  return found;
}

Lifecycle lifecycle(const Json& object) {
  return json_string(object, "lifecycle_stage") == "deleted" ? Lifecycle::kDeleted : Lifecycle::kActive;
}

}  // namespace

const Json& member(const Json& object, std::string_view key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

std::string_view to_string(RunStatus status) { return kStatuses.at(static_cast<size_t>(status)).second; }

std::string_view to_string(View view) {
  if (view == View::kAll) return "ALL";
  return view == View::kDeletedOnly ? "DELETED_ONLY" : "ACTIVE_ONLY";
}

tidemill::Result<Experiment> experiment_from(const Json& json) {
  Experiment experiment;
  experiment.id = TRY(needed(json, "experiment_id"));
  experiment.name = json_string(json, "name");
  experiment.artifact_location = json_string(json, "artifact_location");
  experiment.lifecycle = lifecycle(json);
  experiment.created = integer(json, "creation_time").value_or(0);
  experiment.updated = integer(json, "last_update_time").value_or(experiment.created);
  experiment.tags = pairs(json, "tags");
  return experiment;
}

tidemill::Result<Metric> metric_from(const Json& json) {
  auto value = json_real(member(json, "value"));
  if (!value) return fail(Code::kInternal, "the server's reply has a metric without a value");
  Metric metric;
  metric.key = TRY(needed(json, "key"));
  metric.value = *value;
  metric.step = integer(json, "step").value_or(0);
  metric.timestamp = integer(json, "timestamp").value_or(0);
  return metric;
}

tidemill::Result<RunRecord> run_from(const Json& json) {
  const Json& info = member(json, "info");
  const Json& data = member(json, "data");
  RunRecord run;
  run.id = TRY(needed(info, "run_id"));
  run.name = json_string(info, "run_name");
  run.experiment_id = json_string(info, "experiment_id");
  run.user = json_string(info, "user_id");
  std::string status = json_string(info, "status");
  for (const auto& [value, name] : kStatuses)
    if (status == name) run.status = value;
  run.start_time = integer(info, "start_time").value_or(0);
  run.end_time = integer(info, "end_time");
  if (run.end_time == 0) run.end_time.reset();
  run.artifact_uri = json_string(info, "artifact_uri");
  run.lifecycle = lifecycle(info);
  for (const Json& metric : member(data, "metrics")) {
    Metric latest = TRY(metric_from(metric));
    run.metrics[latest.key] = latest;
  }
  run.params = pairs(data, "params");
  run.tags = pairs(data, "tags");
  return run;
}

tidemill::Result<ArtifactInfo> artifact_from(const Json& json) {
  ArtifactInfo info;
  info.path = TRY(needed(json, "path"));
  info.is_folder = member(json, "is_dir") == true;
  info.size = static_cast<uint64_t>(std::max<int64_t>(0, integer(json, "file_size").value_or(0)));
  return info;
}

tidemill::Result<RegisteredModel> registered_model_from(const Json& json) {
  RegisteredModel model;
  model.name = TRY(needed(json, "name"));
  model.description = json_string(json, "description");
  model.created = integer(json, "creation_timestamp").value_or(0);
  model.updated = integer(json, "last_updated_timestamp").value_or(model.created);
  model.tags = pairs(json, "tags");
  for (const Json& alias : member(json, "aliases"))
    model.aliases[json_string(alias, "alias")] = integer(alias, "version").value_or(0);
  return model;
}

tidemill::Result<ModelVersion> model_version_from(const Json& json) {
  ModelVersion version;
  version.name = TRY(needed(json, "name"));
  version.version = integer(json, "version").value_or(0);
  if (version.version < 1) return fail(Code::kInternal, "the server's reply has a version without a number");
  version.description = json_string(json, "description");
  version.created = integer(json, "creation_timestamp").value_or(0);
  version.updated = integer(json, "last_updated_timestamp").value_or(version.created);
  version.stage = json_string(json, "current_stage");
  version.source = json_string(json, "source");
  version.run_id = json_string(json, "run_id");
  version.status = json_string(json, "status");
  version.tags = pairs(json, "tags");
  for (const Json& alias : member(json, "aliases"))
    if (alias.is_string()) version.aliases.push_back(alias.get<std::string>());
  return version;
}

}  // namespace tidemill::sdk
