// What the endpoint answers: entities as MLflow's JSON, errors as its status and body.
#pragma once

#include <string>

#include "api/json_writer.h"
#include "base/result.h"
#include "net/http_server.h"
#include "tracking/entities.h"
#include "tracking/logged_models.h"
#include "tracking/registry.h"

namespace tidemill::api {

void write(JsonWriter& json, const tracking::Experiment& experiment);
void write(JsonWriter& json, const tracking::RunInfo& info);
void write(JsonWriter& json, const tracking::Metric& metric);
void write(JsonWriter& json, const tracking::LoggedModel& model);
void write(JsonWriter& json, const tracking::RegisteredModel& model);
void write(JsonWriter& json, const tracking::ModelVersion& version);
void write_pairs(JsonWriter& json, std::string_view name, const std::vector<tracking::KeyValue>& pairs);
enum class RunPart { kCreated, kWhole };  // a reply to runs/create has no outputs
void write(JsonWriter& json, const tracking::Run& run, RunPart part = RunPart::kWhole);

HttpResponse json_reply(std::string body, int status = 200);
// With an ETag of the body; 304 without the body when the request's If-None-Match names it.
HttpResponse tagged_reply(const HttpRequest& request, std::string body);
HttpResponse error_reply(int status, std::string_view error_code, std::string_view message);
HttpResponse error_reply(const Error& error);
// What a browser is told at "/".
HttpResponse front_page();
// The HTML pages for paths and methods that do not exist.
HttpResponse no_such_page();
HttpResponse method_not_allowed();

}  // namespace tidemill::api
