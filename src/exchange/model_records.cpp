#include "exchange/model_records.h"

#include "base/text.h"
#include "exchange/mlflow_json.h"
#include "tracking/validate.h"

namespace tidemill::exchange {
namespace {

using tracking::CreateModel;
using tracking::CreateVersion;
using tracking::ModelVersion;
using tracking::Others;
using tracking::Page;
using tracking::RegisteredModel;
using tracking::Registry;
using tracking::SearchRegistry;
using tracking::Stage;

class StoreModels final : public ModelRecords {
 public:
  explicit StoreModels(tracking::Store& store) : registry_(store) {}

  Result<RegisteredModel> create(const CreateModel& create) override {
    return registry_.create_model(create);
  }
  Result<RegisteredModel> model(const std::string& name) override { return registry_.model(name); }
  Result<RegisteredModel> rename(const std::string& name, const std::string& new_name) override {
    return registry_.rename_model(name, new_name);
  }
  Result<> remove(const std::string& name) override { return registry_.delete_model(name); }
  Result<Page<RegisteredModel>> search(const SearchRegistry& search) override {
    return registry_.search_models(search);
  }
  Result<ModelVersion> create_version(const CreateVersion& create) override {
    return registry_.create_version(create);
  }
  Result<ModelVersion> transition(const std::string& name, int64_t version, Stage stage,
                                  Others others) override {
    return registry_.transition(name, version, stage, others);
  }
  Result<> remove_version(const std::string& name, int64_t version) override {
    return registry_.delete_version(name, version);
  }
  Result<Page<ModelVersion>> search_versions(const SearchRegistry& search) override {
    return registry_.search_versions(search);
  }
  Result<std::vector<ModelVersion>> latest_versions(const std::string& name,
                                                    const std::vector<Stage>& stages) override {
    return registry_.latest_versions(name, stages);
  }
  Result<std::string> location(const std::string& name, int64_t version) override {
    return TRY(registry_.version(name, version)).storage_location;
  }
  Result<> set_alias(const std::string& name, const std::string& alias, int64_t version) override {
    return registry_.set_alias(name, alias, version);
  }
  Result<> delete_alias(const std::string& name, const std::string& alias) override {
    return registry_.delete_alias(name, alias);
  }
  Result<ModelVersion> version_by_alias(const std::string& name, const std::string& alias) override {
    return registry_.version_by_alias(name, alias);
  }

 private:
  Registry registry_;
};

class ServerModels final : public ModelRecords {
 public:
  explicit ServerModels(std::shared_ptr<MlflowApi> api) : api_(std::move(api)) {}

  Result<RegisteredModel> create(const CreateModel& create) override {
    return model_in(api_->post(
        "registered-models/create",
        {{"name", create.name}, {"description", create.description}, {"tags", json_of(create.tags)}}));
  }
  Result<RegisteredModel> model(const std::string& name) override {
    return model_in(api_->get("registered-models/get", {{"name", name}}));
  }
  Result<RegisteredModel> rename(const std::string& name, const std::string& new_name) override {
    return model_in(api_->post("registered-models/rename", {{"name", name}, {"new_name", new_name}}));
  }
  Result<> remove(const std::string& name) override {
    return done(api_->remove("registered-models/delete", {{"name", name}}));
  }
  Result<Page<RegisteredModel>> search(const SearchRegistry& search) override {
    return page_from(TRY(api_->get("registered-models/search", query_of(search))), "registered_models",
                     registered_model_from);
  }
  Result<ModelVersion> create_version(const CreateVersion& create) override {
    Json body{{"name", create.name},
              {"source", create.source},
              {"run_id", create.run_id},
              {"description", create.description},
              {"tags", json_of(create.tags)}};
    return version_in(api_->post("model-versions/create", body));
  }
  Result<ModelVersion> transition(const std::string& name, int64_t version, Stage stage,
                                  Others others) override {
    return version_in(api_->post("model-versions/transition-stage",
                                 {{"name", name},
                                  {"version", std::to_string(version)},
                                  {"stage", tracking::to_string(stage)},
                                  {"archive_existing_versions", others == Others::kArchive}}));
  }
  Result<> remove_version(const std::string& name, int64_t version) override {
    return done(
        api_->remove("model-versions/delete", {{"name", name}, {"version", std::to_string(version)}}));
  }
  Result<Page<ModelVersion>> search_versions(const SearchRegistry& search) override {
    return page_from(TRY(api_->get("model-versions/search", query_of(search))), "model_versions",
                     model_version_from);
  }
  Result<std::vector<ModelVersion>> latest_versions(const std::string& name,
                                                    const std::vector<Stage>& stages) override {
    Json names = Json::array();
    for (Stage stage : stages) names.push_back(tracking::to_string(stage));
    Json reply = TRY(
        api_->post("registered-models/get-latest-versions", {{"name", name}, {"stages", std::move(names)}}));
    return TRY(page_from(reply, "model_versions", model_version_from)).items;
  }
  Result<std::string> location(const std::string& name, int64_t version) override {
    Json reply = TRY(
        api_->get("model-versions/get-download-uri", {{"name", name}, {"version", std::to_string(version)}}));
    return json_string(reply, "artifact_uri");
  }
  Result<> set_alias(const std::string& name, const std::string& alias, int64_t version) override {
    return done(api_->post("registered-models/alias",
                           {{"name", name}, {"alias", alias}, {"version", std::to_string(version)}}));
  }
  Result<> delete_alias(const std::string& name, const std::string& alias) override {
    return done(api_->remove("registered-models/alias", {{"name", name}, {"alias", alias}}));
  }
  Result<ModelVersion> version_by_alias(const std::string& name, const std::string& alias) override {
    return version_in(api_->get("registered-models/alias", {{"name", name}, {"alias", alias}}));
  }

 private:
  static MlflowApi::Query query_of(const SearchRegistry& search) {
    MlflowApi::Query query{{"max_results", std::to_string(search.max_results)}};
    if (!search.filter.empty()) query.emplace_back("filter", search.filter);
    for (const std::string& key : search.order_by) query.emplace_back("order_by", key);
    if (!search.page_token.empty()) query.emplace_back("page_token", search.page_token);
    return query;
  }
  static Result<RegisteredModel> model_in(Result<Json> reply) {
    return registered_model_from(TRY(std::move(reply)).value("registered_model", Json::object()));
  }
  static Result<ModelVersion> version_in(Result<Json> reply) {
    return model_version_from(TRY(std::move(reply)).value("model_version", Json::object()));
  }
  static Result<> done(Result<Json> reply) {
    return reply.map([](const Json&) {});
  }

  std::shared_ptr<MlflowApi> api_;
};

}  // namespace

std::unique_ptr<ModelRecords> models_in(tracking::Store& store) {
  return std::make_unique<StoreModels>(store);
}

std::unique_ptr<ModelRecords> models_at(std::shared_ptr<MlflowApi> api) {
  return std::make_unique<ServerModels>(std::move(api));
}

std::string name_filter(std::string_view model) {
  // MLflow knows no doubled quotes.
  if (model.find('\'') != std::string_view::npos && model.find('"') == std::string_view::npos)
    return fmt::format("name = \"{}\"", model);
  std::string quoted;
  for (char c : model) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  return fmt::format("name = '{}'", quoted);
}

Result<int64_t> named_version(ModelRecords& models, const std::string& name, const std::string& which) {
  if (auto number = tracking::parse_version(which)) return *number;
  std::vector<ModelVersion> found;
  if (to_lower(which) == "latest") {
    found = TRY(models.search_versions({.filter = name_filter(name),
                                        .max_results = 1,
                                        .order_by = {"version_number DESC"},
                                        .page_token = ""}))
                .items;
  } else {
    auto stage = tracking::parse_stage(which);
    if (!stage)
      return fail(
          Code::kInvalid,
          "models:/{}/{}: behind the name stands a version's number, latest, or a stage (None, Staging, "
          "Production, Archived)",
          name, which);
    found = TRY(models.latest_versions(name, {*stage}));
  }
  if (!found.empty()) return found.front().version;
  return fail(Code::kNotFound, "there is no version '{}' of the model '{}'", which, name);
}

}  // namespace tidemill::exchange
