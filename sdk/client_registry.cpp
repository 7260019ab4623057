// The model registry's part of Client.
#include "client_state.h"
#include "new_run.h"

namespace tidemill::sdk {
namespace {

Query search_query(const Search& search) {
  Query query{{"max_results", std::to_string(search.max_results)}};
  if (!search.filter.empty()) query.emplace_back("filter", search.filter);
  for (const std::string& order : search.order_by) query.emplace_back("order_by", order);
  if (!search.page_token.empty()) query.emplace_back("page_token", search.page_token);
  return query;
}

}  // namespace

Result<RegisteredModel> Client::create_registered_model(std::string_view name, std::string_view description,
                                                        const Tags& tags) {
  Json body = {{"name", name}, {"tags", tags_to_json(tags)}};
  if (!description.empty()) body["description"] = description;
  return state_->read(state_->server.post("registered-models/create", body), "registered_model",
                      registered_model_from);
}

Result<RegisteredModel> Client::registered_model(std::string_view name) {
  return state_->read(state_->get("registered-models/get", {{"name", std::string(name)}}), "registered_model",
                      registered_model_from);
}

Result<Page<RegisteredModel>> Client::search_registered_models(const Search& search) {
  return state_->page(state_->get("registered-models/search", search_query(search)), "registered_models",
                      registered_model_from);
}

Result<> Client::set_registered_model_tag(std::string_view name, std::string_view key,
                                          std::string_view value) {
  return state_->post("registered-models/set-tag", {{"name", name}, {"key", key}, {"value", value}});
}

Result<> Client::delete_registered_model(std::string_view name) {
  return state_->change("DELETE", "registered-models/delete", {{"name", name}});
}

Result<ModelVersion> Client::create_model_version(const NewModelVersion& version) {
  Json body = {{"name", version.name}, {"source", version.source}, {"tags", tags_to_json(version.tags)}};
  if (!version.run_id.empty()) body["run_id"] = version.run_id;
  if (!version.description.empty()) body["description"] = version.description;
  return state_->read(state_->server.post("model-versions/create", body), "model_version",
                      model_version_from);
}

Result<ModelVersion> Client::register_model(std::string_view name, std::string_view run_id,
                                            std::string_view path) {
  auto record = run(run_id);
  if (!record) return tl::unexpected<Error>(std::move(record).error());
  auto made = create_registered_model(name);
  if (!made && made.error().code != ErrorCode::kConflict) return tl::unexpected<Error>(made.error());
  std::string source = record->artifact_uri;
  if (!path.empty()) source += fmt::format("/{}", path);
  return create_model_version({.name = std::string(name), .source = source, .run_id = record->id});
}

Result<ModelVersion> Client::model_version(std::string_view name, int64_t version) {
  return state_->read(
      state_->get("model-versions/get", {{"name", std::string(name)}, {"version", std::to_string(version)}}),
      "model_version", model_version_from);
}

Result<ModelVersion> Client::model_version_by_alias(std::string_view name, std::string_view alias) {
  return state_->read(
      state_->get("registered-models/alias", {{"name", std::string(name)}, {"alias", std::string(alias)}}),
      "model_version", model_version_from);
}

Result<Page<ModelVersion>> Client::search_model_versions(const Search& search) {
  return state_->page(state_->get("model-versions/search", search_query(search)), "model_versions",
                      model_version_from);
}

Result<> Client::set_model_version_tag(std::string_view name, int64_t version, std::string_view key,
                                       std::string_view value) {
  return state_->post("model-versions/set-tag",
                      {{"name", name}, {"version", std::to_string(version)}, {"key", key}, {"value", value}});
}

Result<> Client::delete_model_version(std::string_view name, int64_t version) {
  return state_->change("DELETE", "model-versions/delete",
                        {{"name", name}, {"version", std::to_string(version)}});
}

Result<> Client::set_model_alias(std::string_view name, std::string_view alias, int64_t version) {
  return state_->post("registered-models/alias",
                      {{"name", name}, {"alias", alias}, {"version", std::to_string(version)}});
}

Result<> Client::delete_model_alias(std::string_view name, std::string_view alias) {
  return state_->change("DELETE", "registered-models/alias", {{"name", name}, {"alias", alias}});
}

}  // namespace tidemill::sdk
