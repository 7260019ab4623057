#include "api/registry_calls.h"
#include "api/replies.h"
#include "api/service.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using tracking::Registry;

std::string model_reply(const tracking::RegisteredModel& model) {
  JsonWriter json;
  json.begin_object().key("registered_model");
  write(json, model);
  json.end_object();
  return json.take();
}

}  // namespace

Result<tracking::SearchRegistry> registry_search(const Params& params, int64_t default_results,
                                                 int64_t most) {
  tracking::SearchRegistry search;
  search.filter = TRY(params.text("filter"));
  search.max_results = TRY(params.integer("max_results")).value_or(default_results);
  search.order_by = TRY(params.texts("order_by"));
  search.page_token = TRY(params.text("page_token"));
  if (params.sender()) search.visible = params.sender()->visible(auth::Kind::kModel);
  if (search.max_results <= most) return search;
  return fail(Code::kInvalid,
              "Invalid value \"{}\" for parameter 'max_results' supplied:  Hint: Value was of type 'str'. "
              "See the API "
              "docs for more information about request parameters.",
              search.max_results);
}

Result<std::string> create_registered_model(Service& service, const Params& params) {
  tracking::CreateModel create;
  create.name = TRY(params.required_text("name"));
  create.description = TRY(params.text("description"));
  create.tags = TRY(params.pairs("tags"));
  auto model = TRY(Registry(service.store).create_model(create));
  TRY(grant_to_creator(service, params, auth::Kind::kModel, model.name));
  return model_reply(model);
}

Result<std::string> get_registered_model(Service& service, const Params& params) {
  return model_reply(TRY(Registry(service.store).model(TRY(params.required_text("name")))));
}

Result<std::string> rename_registered_model(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  std::string new_name = TRY(params.required_text("new_name"));
  return model_reply(TRY(Registry(service.store).rename_model(name, new_name)));
}

Result<std::string> update_registered_model(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  std::string description = TRY(params.text("description"));
  return model_reply(TRY(Registry(service.store).update_model(name, description)));
}

Result<std::string> delete_registered_model(Service& service, const Params& params) {
  TRY(Registry(service.store).delete_model(TRY(params.required_text("name"))));
  return "{}";
}

Result<std::string> search_registered_models(Service& service, const Params& params) {
  tracking::SearchRegistry search = TRY(registry_search(params, 100, tracking::kMaxModelResults));
  auto page = TRY(Registry(service.store).search_models(search));
  return page_reply("registered_models", page);
}

Result<std::string> get_latest_versions(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  std::vector<tracking::Stage> stages;
  for (const std::string& stage : TRY(params.texts("stages")))
    stages.push_back(TRY(tracking::parse_stage(stage)));
  tracking::Page<tracking::ModelVersion> page;
  page.items = TRY(Registry(service.store).latest_versions(name, stages));
  return page_reply("model_versions", page);
}

Result<std::string> set_registered_model_tag(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  std::string key = TRY(params.required_text("key"));
  TRY(Registry(service.store).set_model_tag(name, key, TRY(params.text("value"))));
  return "{}";
}

Result<std::string> delete_registered_model_tag(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  TRY(Registry(service.store).delete_model_tag(name, TRY(params.required_text("key"))));
  return "{}";
}

Result<std::string> set_registered_model_alias(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  std::string alias = TRY(params.required_text("alias"));
  int64_t version = TRY(tracking::parse_version(TRY(params.required_text("version"))));
  TRY(Registry(service.store).set_alias(name, alias, version));
  return "{}";
}

Result<std::string> delete_registered_model_alias(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  TRY(Registry(service.store).delete_alias(name, TRY(params.required_text("alias"))));
  return "{}";
}

}  // namespace tidemill::api
