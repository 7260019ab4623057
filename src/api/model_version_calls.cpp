#include "api/model_source.h"
#include "api/registry_calls.h"
#include "api/replies.h"
#include "api/service.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using tracking::Registry;

std::string version_reply(const tracking::ModelVersion& version) {
  JsonWriter json;
  json.begin_object().key("model_version");
  write(json, version);
  json.end_object();
  return json.take();
}

// Prompts have no files; clients send one of these words instead of a source.
Result<> check_prompt_source(std::string_view source) {
  if (source == "dummy-source" || source == "prompt-template") return {};
  return fail(Code::kInvalid, "Invalid prompt source: '{}'. Prompt sources must use an MLflow placeholder.",
              source);
}

// Which version a call is about.
struct Named {
  std::string name;
  int64_t version = 0;
};
Result<Named> named(const Params& params) {
  Named out{.name = TRY(params.required_text("name"))};
  out.version = TRY(tracking::parse_version(TRY(params.required_text("version"))));
  return out;
}

Result<std::optional<std::string>> optional_text(const Params& params, std::string_view key) {
  std::string text = TRY(params.text(key));
  return params.has(key) ? std::optional(std::move(text)) : std::nullopt;
}

}  // namespace

Result<std::string> create_model_version(Service& service, const Params& params) {
  tracking::CreateVersion create;
  create.name = TRY(params.required_text("name"));
  create.tags = TRY(params.pairs("tags"));
  create.run_link = TRY(params.text("run_link"));
  create.description = TRY(params.text("description"));
  SourceRequest request;
  request.source = TRY(params.required_text("source"));
  request.run_id = TRY(optional_text(params, "run_id"));
  request.model_id = TRY(optional_text(params, "model_id"));
  ModelSource source{.source = request.source,
                     .storage_location = request.source,
                     .run_id = request.run_id.value_or(""),
                     .model_id = ""};
  if (tracking::is_prompt(create.tags)) {
    TRY(check_prompt_source(source.source));
  } else {
    source = TRY(check_model_source(service.store, request,
                                    [&](std::string uri) { return service.told(std::move(uri)); }));
  }
  create.source = std::move(source.source);
  create.storage_location = std::move(source.storage_location);
  create.run_id = std::move(source.run_id);
  create.model_id = std::move(source.model_id);
  return version_reply(TRY(Registry(service.store).create_version(create)));
}

Result<std::string> get_model_version(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  return version_reply(TRY(Registry(service.store).version(name, version)));
}

Result<std::string> update_model_version(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  auto description = TRY(optional_text(params, "description"));
  return version_reply(TRY(Registry(service.store).update_version(name, version, std::move(description))));
}

Result<std::string> delete_model_version(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  TRY(Registry(service.store).delete_version(name, version));
  return "{}";
}

Result<std::string> search_model_versions(Service& service, const Params& params) {
  constexpr int64_t kMost = tracking::kMaxVersionResults;
  tracking::SearchRegistry search = TRY(registry_search(params, kMost, kMost));
  auto page = TRY(Registry(service.store).search_versions(search));
  return page_reply("model_versions", page);
}

Result<std::string> transition_stage(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  tracking::Stage stage = TRY(tracking::parse_stage(TRY(params.required_text("stage"))));
  bool archive = TRY(params.boolean("archive_existing_versions")).value_or(false);
  auto others = archive ? tracking::Others::kArchive : tracking::Others::kStay;
  return version_reply(TRY(Registry(service.store).transition(name, version, stage, others)));
}

Result<std::string> get_download_uri(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  auto found = TRY(Registry(service.store).version(name, version));
  JsonWriter json;
  json.begin_object().field("artifact_uri", service.told(found.storage_location)).end_object();
  return json.take();
}

Result<std::string> set_model_version_tag(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  std::string key = TRY(params.required_text("key"));
  TRY(Registry(service.store).set_version_tag(name, version, key, TRY(params.text("value"))));
  return "{}";
}

Result<std::string> delete_model_version_tag(Service& service, const Params& params) {
  auto [name, version] = TRY(named(params));
  TRY(Registry(service.store).delete_version_tag(name, version, TRY(params.required_text("key"))));
  return "{}";
}

Result<std::string> get_model_version_by_alias(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  return version_reply(
      TRY(Registry(service.store).version_by_alias(name, TRY(params.required_text("alias")))));
}

}  // namespace tidemill::api
