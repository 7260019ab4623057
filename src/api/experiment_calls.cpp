#include "api/replies.h"
#include "api/service.h"

namespace tidemill::api {

static std::string experiment_reply(const tracking::Experiment& experiment) {
  JsonWriter json;
  json.begin_object().key("experiment");
  write(json, experiment);
  json.end_object();
  return json.take();
}

Result<std::string> create_experiment(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  std::string location = TRY(params.text("artifact_location"));
  std::string id = TRY(service.store.create_experiment(name, location, TRY(params.pairs("tags"))));
  TRY(grant_to_creator(service, params, auth::Kind::kExperiment, id));
  JsonWriter json;
  json.begin_object().field("experiment_id", id).end_object();
  return json.take();
}

Result<std::string> get_experiment(Service& service, const Params& params) {
  return experiment_reply(TRY(service.store.experiment(TRY(params.required_text("experiment_id")))));
}

Result<std::string> get_experiment_by_name(Service& service, const Params& params) {
  return experiment_reply(
      TRY(service.store.experiment_by_name(TRY(params.required_text("experiment_name")))));
}

Result<std::string> search_experiments(Service& service, const Params& params) {
  tracking::SearchExperiments search;
  search.max_results = TRY(params.integer("max_results")).value_or(0);
  search.filter = TRY(params.text("filter"));
  search.order_by = TRY(params.texts("order_by"));
  search.page_token = TRY(params.text("page_token"));
  search.view = TRY(params.view("view_type"));
  if (params.sender()) search.visible = params.sender()->visible(auth::Kind::kExperiment);
  auto page = TRY(service.store.search_experiments(search));
  JsonWriter json;
  json.begin_object();
  if (!page.items.empty()) {
    json.key("experiments").begin_array();
    for (const auto& experiment : page.items) write(json, experiment);
    json.end_array();
  }
  if (!page.next_page_token.empty()) json.field("next_page_token", page.next_page_token);
  json.end_object();
  return json.take();
}

Result<std::string> update_experiment(Service& service, const Params& params) {
  std::string id = TRY(params.required_text("experiment_id"));
  TRY(service.store.rename_experiment(id, TRY(params.required_text("new_name"))));
  return "{}";
}

Result<std::string> delete_experiment(Service& service, const Params& params) {
  TRY(service.store.delete_experiment(TRY(params.required_text("experiment_id"))));
  return "{}";
}

Result<std::string> restore_experiment(Service& service, const Params& params) {
  TRY(service.store.restore_experiment(TRY(params.required_text("experiment_id"))));
  return "{}";
}

Result<std::string> delete_experiment_tag(Service& service, const Params& params) {
  std::string id = TRY(params.required_text("experiment_id"));
  TRY(service.store.delete_experiment_tag(id, TRY(params.required_text("key"))));
  return "{}";
}

Result<std::string> set_experiment_tag(Service& service, const Params& params) {
  std::string id = TRY(params.required_text("experiment_id"));
  std::string key = TRY(params.required_text("key"));
  TRY(service.store.set_experiment_tag(id, key, TRY(params.text("value"))));
  return "{}";
}

}  // namespace tidemill::api
