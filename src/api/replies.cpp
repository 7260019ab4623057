#include "api/replies.h"

#include "base/hash.h"

namespace tidemill::api {
namespace {

struct WireError {
  int status;
  std::string_view error_code;
};

WireError wire_error(Code code) {
  switch (code) {
    case Code::kInvalid:
      return {400, "INVALID_PARAMETER_VALUE"};
    case Code::kNotFound:
      return {404, "RESOURCE_DOES_NOT_EXIST"};
    case Code::kConflict:
      return {400, "RESOURCE_ALREADY_EXISTS"};
    case Code::kDenied:
      return {403, "PERMISSION_DENIED"};
    case Code::kUnavailable:
      return {503, "TEMPORARILY_UNAVAILABLE"};
    case Code::kTimeout:
      return {504, "DEADLINE_EXCEEDED"};
    case Code::kCancelled:
      return {499, "CANCELLED"};
    case Code::kInternal:
      break;
  }
  return {500, "INTERNAL_ERROR"};
}

HttpResponse html_page(int status, std::string_view text) {
  std::string_view title = reason_phrase(status);
  std::string page =
      fmt::format("<!doctype html>\n<html lang=en>\n<title>{0} {1}</title>\n<h1>{1}</h1>\n<p>{2}</p>\n",
                  status, title, text);
  return HttpResponse::text(status, std::move(page), "text/html; charset=utf-8");
}

}  // namespace

void write_pairs(JsonWriter& json, std::string_view name, const std::vector<tracking::KeyValue>& pairs) {
  if (pairs.empty()) return;
  json.key(name).begin_array();
  for (const auto& [key, value] : pairs)
    json.begin_object().field("key", key).field("value", value).end_object();
  json.end_array();
}

void write(JsonWriter& json, const tracking::Experiment& experiment) {
  json.begin_object()
      .field("experiment_id", experiment.id)
      .field("name", experiment.name)
      .field("artifact_location", experiment.artifact_location)
      .field("lifecycle_stage", to_string(experiment.lifecycle));
  json.key("last_update_time").integer(experiment.updated).key("creation_time").integer(experiment.created);
  write_pairs(json, "tags", experiment.tags);
  json.end_object();
}

void write(JsonWriter& json, const tracking::RunInfo& info) {
  json.begin_object()
      .field("run_uuid", info.id)
      .field("experiment_id", info.experiment_id)
      .field("run_name", info.name)
      .field("user_id", info.user)
      .field("status", to_string(info.status));
  json.key("start_time").integer(info.start_time);
  if (info.end_time) json.key("end_time").integer(*info.end_time);
  json.field("artifact_uri", info.artifact_uri)
      .field("lifecycle_stage", to_string(info.lifecycle))
      .field("run_id", info.id)
      .end_object();
}

void write(JsonWriter& json, const tracking::Metric& metric) {
  json.begin_object().field("key", metric.key).key("value").number(metric.value);
  json.key("timestamp").integer(metric.timestamp).key("step").integer(metric.step).end_object();
}

namespace {

void write_inputs(JsonWriter& json, const tracking::Run& run) {
  json.key("inputs").begin_object();
  if (!run.datasets.empty()) {
    json.key("dataset_inputs").begin_array();
    for (const auto& [dataset, tags] : run.datasets) {
      json.begin_object();
      write_pairs(json, "tags", tags);
      json.key("dataset").begin_object().field("name", dataset.name).field("digest", dataset.digest);
      json.field("source_type", dataset.source_type).field("source", dataset.source);
      if (dataset.schema) json.field("schema", *dataset.schema);
      if (dataset.profile) json.field("profile", *dataset.profile);
      json.end_object().end_object();
    }
    json.end_array();
  }
  if (!run.model_inputs.empty()) {
    json.key("model_inputs").begin_array();
    for (const std::string& id : run.model_inputs) json.begin_object().field("model_id", id).end_object();
    json.end_array();
  }
  json.end_object();
}

void write_outputs(JsonWriter& json, const tracking::Run& run) {
  json.key("outputs").begin_object();
  if (!run.model_outputs.empty()) {
    json.key("model_outputs").begin_array();
    for (const auto& [id, step] : run.model_outputs)
      json.begin_object().field("model_id", id).key("step").integer(step).end_object();
    json.end_array();
  }
  json.end_object();
}

void write(JsonWriter& json, const tracking::ModelMetric& metric, std::string_view model_id) {
  const auto& [point, run_id, dataset_name, dataset_digest] = metric;
  json.begin_object().field("key", point.key).key("value").number(point.value);
  json.key("timestamp").integer(point.timestamp).key("step").integer(point.step);
  if (!dataset_name.empty()) json.field("dataset_name", dataset_name);
  if (!dataset_digest.empty()) json.field("dataset_digest", dataset_digest);
  json.field("model_id", model_id).field("run_id", run_id).end_object();
}

}  // namespace

void write(JsonWriter& json, const tracking::LoggedModel& model) {
  json.begin_object().key("info").begin_object();
  json.field("model_id", model.id).field("experiment_id", model.experiment_id).field("name", model.name);
  json.key("creation_timestamp_ms").integer(model.created);
  json.key("last_updated_timestamp_ms").integer(model.updated);
  json.field("artifact_uri", model.artifact_uri).field("status", to_string(model.status));
  json.field("model_type", model.model_type).field("source_run_id", model.source_run_id);
  write_pairs(json, "tags", model.tags);
  json.end_object().key("data").begin_object();
  write_pairs(json, "params", model.params);
  if (!model.metrics.empty()) {
    json.key("metrics").begin_array();
    for (const auto& metric : model.metrics) write(json, metric, model.id);
    json.end_array();
  }
  json.end_object().end_object();
}

void write(JsonWriter& json, const tracking::Run& run, RunPart part) {
  json.begin_object().key("info");
  write(json, run.info);
  json.key("data").begin_object();
  if (!run.metrics.empty()) {
    json.key("metrics").begin_array();
    for (const auto& metric : run.metrics) write(json, metric);
    json.end_array();
  }
  write_pairs(json, "params", run.params);
  write_pairs(json, "tags", run.tags);
  json.end_object();
  write_inputs(json, run);
  if (part == RunPart::kWhole) write_outputs(json, run);
  json.end_object();
}

void write(JsonWriter& json, const tracking::ModelVersion& version) {
  json.begin_object().field("name", version.name).field("version", std::to_string(version.version));
  json.key("creation_timestamp").integer(version.created);
  json.key("last_updated_timestamp").integer(version.updated);
  json.field("current_stage", to_string(version.stage));
  if (version.description) json.field("description", *version.description);
  json.field("source", version.source)
      .field("run_id", version.run_id)
      .field("status", "READY")
      .field("run_link", version.run_link);
  if (!version.model_id.empty()) json.field("model_id", version.model_id);
  write_pairs(json, "tags", version.tags);
  if (!version.aliases.empty()) {
    json.key("aliases").begin_array();
    for (const std::string& alias : version.aliases) json.text(alias);
    json.end_array();
  }
  json.end_object();
}

void write(JsonWriter& json, const tracking::RegisteredModel& model) {
  json.begin_object().field("name", model.name);
  json.key("creation_timestamp").integer(model.created);
  json.key("last_updated_timestamp").integer(model.updated);
  if (!model.description.empty()) json.field("description", model.description);
  if (!model.latest_versions.empty()) {
    json.key("latest_versions").begin_array();
    for (const auto& version : model.latest_versions) write(json, version);
    json.end_array();
  }
  write_pairs(json, "tags", model.tags);
  if (!model.aliases.empty()) {
    json.key("aliases").begin_array();
    for (const auto& [alias, version] : model.aliases)
      json.begin_object().field("alias", alias).field("version", std::to_string(version)).end_object();
    json.end_array();
  }
  json.end_object();
}

HttpResponse json_reply(std::string body, int status) {
  return HttpResponse::text(status, std::move(body), "application/json");
}

HttpResponse tagged_reply(const HttpRequest& request, std::string body) {
  std::string tag = fmt::format("\"{}\"", sha256_hex(body).substr(0, 32));
  HttpResponse response;
  if (names_tag(request.headers.get("If-None-Match"), tag))
    response.status = 304;
  else
    response = json_reply(std::move(body));
  response.headers.add("ETag", std::move(tag));
  return response;
}

HttpResponse error_reply(int status, std::string_view error_code, std::string_view message) {
  JsonWriter json;
  json.begin_object().field("error_code", error_code).field("message", message).end_object();
  return json_reply(json.take(), status);
}

HttpResponse error_reply(const Error& error) {
  auto [status, error_code] = wire_error(error.code);
  return error_reply(status, error_code, error.message);
}

HttpResponse front_page() {
  return HttpResponse::text(
      200,
      "This is a tracking server, Tidemill " TIDEMILL_VERSION
      ". It has no pages for browsers: give its address to MLflow's clients as\n"
      "MLFLOW_TRACKING_URI, or look at what is recorded with tidemill runs list --tracking-uri ADDRESS.\n");
}

HttpResponse no_such_page() {
  return html_page(404, "Nothing is served at this address. Check the spelling of the URL.");
}

HttpResponse method_not_allowed() { return html_page(405, "This address does not take this method."); }

}  // namespace tidemill::api
