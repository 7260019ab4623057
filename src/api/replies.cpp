#include "api/replies.h"

namespace tidemill::api {
namespace {

void write_pairs(JsonWriter& json, std::string_view name, const std::vector<tracking::KeyValue>& pairs) {
  if (pairs.empty()) return;
  json.key(name).begin_array();
  for (const auto& [key, value] : pairs)
    json.begin_object().field("key", key).field("value", value).end_object();
  json.end_array();
}

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
  json.end_object().key("inputs").begin_object().end_object();
  if (part == RunPart::kWhole) json.key("outputs").begin_object().end_object();
  json.end_object();
}

HttpResponse json_reply(std::string body, int status) {
  return HttpResponse::text(status, std::move(body), "application/json");
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

HttpResponse no_such_page() {
  return html_page(404, "Nothing is served at this address. Check the spelling of the URL.");
}

HttpResponse method_not_allowed() { return html_page(405, "This address does not take this method."); }

}  // namespace tidemill::api
