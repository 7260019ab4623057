#include "api/replies.h"
#include "api/service.h"

namespace tidemill::api {
namespace {

constexpr size_t kMaxExperimentsOfDatasets = 20;

std::string model_reply(const Service& service, tracking::LoggedModel model) {
  model.artifact_uri = service.told(std::move(model.artifact_uri));
  JsonWriter json;
  json.begin_object().key("model");
  write(json, model);
  json.end_object();
  return json.take();
}

Result<tracking::DatasetFilter> dataset_of(const Params& params) {
  tracking::DatasetFilter filter;
  filter.name = TRY(params.text("dataset_name"));
  filter.digest = TRY(params.text("dataset_digest"));
  return filter;
}

Result<tracking::DatasetInput> input_of(const Params& params) {
  Params dataset = TRY(params.object("dataset"));
  tracking::DatasetInput input;
  input.dataset.name = TRY(dataset.required_text("name"));
  input.dataset.digest = TRY(dataset.required_text("digest"));
  input.dataset.source_type = TRY(dataset.required_text("source_type"));
  input.dataset.source = TRY(dataset.required_text("source"));
  input.tags = TRY(params.pairs("tags"));
  if (std::string schema = TRY(dataset.text("schema")); !schema.empty()) input.dataset.schema = schema;
  if (std::string profile = TRY(dataset.text("profile")); !profile.empty()) input.dataset.profile = profile;
  return input;
}

std::optional<tracking::ModelStatus> status_of(std::string_view name) {
  if (name.size() == 1 && name[0] >= '0' && name[0] <= '3')
    return static_cast<tracking::ModelStatus>(name[0] - '0');
  return tracking::model_status_from(name);
}

}  // namespace

Result<std::string> create_logged_model(Service& service, const Params& params) {
  tracking::CreateLoggedModel create;
  create.experiment_id = TRY(params.required_text("experiment_id"));
  create.name = TRY(params.text("name"));
  create.model_type = TRY(params.text("model_type"));
  create.source_run_id = TRY(params.text("source_run_id"));
  create.params = TRY(params.pairs("params"));
  create.tags = TRY(params.pairs("tags"));
  return model_reply(service, TRY(tracking::LoggedModels(service.store).create(create)));
}

Result<std::string> get_logged_model(Service& service, const Params& params) {
  using Deleted = tracking::LoggedModels::Deleted;
  bool shown = TRY(params.boolean("allow_deleted")).value_or(false);
  tracking::LoggedModels models(service.store);
  return model_reply(service, TRY(models.get(TRY(params.required_text("model_id")),
                                             shown ? Deleted::kShown : Deleted::kHidden)));
}

Result<std::string> finalize_logged_model(Service& service, const Params& params) {
  std::string name = TRY(params.enumerator("status"));
  if (name.empty()) TRY(params.required_text("status"));
  std::optional<tracking::ModelStatus> status = status_of(name);
  if (!status)
    return fail(
        Code::kInvalid,
        "Invalid value \"{}\" for parameter 'status' supplied. It must be one of LOGGED_MODEL_PENDING, "
        "LOGGED_MODEL_READY, LOGGED_MODEL_UPLOAD_FAILED",
        name);
  tracking::LoggedModels models(service.store);
  return model_reply(service, TRY(models.finalize(TRY(params.required_text("model_id")), *status)));
}

Result<std::string> delete_logged_model(Service& service, const Params& params) {
  TRY(tracking::LoggedModels(service.store).remove(TRY(params.required_text("model_id"))));
  return "{}";
}

Result<std::string> search_logged_models(Service& service, const Params& params) {
  tracking::SearchLoggedModels search;
  // An empty list finds nothing, none is refused.
  auto ids =
      params.has("experiment_ids") ? params.texts("experiment_ids") : params.required_texts("experiment_ids");
  search.experiment_ids = readable_experiments(params, TRY(std::move(ids)));
  search.filter = TRY(params.text("filter"));
  for (const Params& dataset : TRY(params.objects("datasets")))
    search.datasets.push_back(TRY(dataset_of(dataset)));
  search.max_results = TRY(params.integer("max_results")).value_or(0);
  for (const Params& order : TRY(params.objects("order_by"))) {
    auto& by = search.order_by.emplace_back();
    by.field = TRY(order.text("field_name"));
    by.ascending = TRY(order.boolean("ascending")).value_or(true);
    by.dataset = TRY(dataset_of(order));
  }
  search.page_token = TRY(params.text("page_token"));
  auto page = TRY(tracking::LoggedModels(service.store).search(search));
  JsonWriter json;
  json.begin_object();
  if (!page.items.empty()) {
    json.key("models").begin_array();
    for (auto& model : page.items) {
      model.artifact_uri = service.told(std::move(model.artifact_uri));
      write(json, model);
    }
    json.end_array();
  }
  if (!page.next_page_token.empty()) json.field("next_page_token", page.next_page_token);
  json.end_object();
  return json.take();
}

Result<std::string> set_logged_model_tags(Service& service, const Params& params) {
  tracking::LoggedModels models(service.store);
  TRY(models.set_tags(TRY(params.required_text("model_id")), TRY(params.pairs("tags"))));
  return "{}";
}

Result<std::string> delete_logged_model_tag(Service& service, const Params& params) {
  tracking::LoggedModels models(service.store);
  TRY(models.delete_tag(TRY(params.required_text("model_id")), TRY(params.required_text("tag_key"))));
  return "{}";
}

Result<std::string> log_logged_model_params(Service& service, const Params& params) {
  tracking::LoggedModels models(service.store);
  TRY(models.log_params(TRY(params.required_text("model_id")), TRY(params.pairs("params"))));
  return "{}";
}

Result<std::string> log_inputs(Service& service, const Params& params) {
  std::string run_id = TRY(params.required_text("run_id"));
  std::vector<tracking::DatasetInput> datasets;
  for (const Params& input : TRY(params.objects("datasets"))) datasets.push_back(TRY(input_of(input)));
  std::vector<std::string> models;
  for (const Params& model : TRY(params.objects("models")))
    models.push_back(TRY(model.required_text("model_id")));
  TRY(tracking::Lineage(service.store).log_inputs(run_id, datasets, models));
  return "{}";
}

Result<std::string> log_outputs(Service& service, const Params& params) {
  std::string run_id = TRY(params.required_text("run_id"));
  std::vector<tracking::ModelOutput> models;
  for (const Params& model : TRY(params.objects("models"))) {
    auto& output = models.emplace_back();
    output.model_id = TRY(model.required_text("model_id"));
    output.step = TRY(model.integer("step")).value_or(0);
  }
  TRY(tracking::Lineage(service.store).log_outputs(run_id, models));
  return "{}";
}

Result<std::string> search_datasets(Service& service, const Params& params) {
  std::vector<std::string> experiments = TRY(params.texts("experiment_ids"));
  if (experiments.empty())
    return fail(Code::kInvalid, "SearchDatasets request must specify at least one experiment_id.");
  if (experiments.size() > kMaxExperimentsOfDatasets)
    return fail(Code::kInvalid,
                "SearchDatasets request cannot specify more than {} experiment_ids. Received {} "
                "experiment_ids.",
                kMaxExperimentsOfDatasets, experiments.size());
  auto summaries = TRY(tracking::Lineage(service.store).datasets(experiments));
  JsonWriter json;
  json.begin_object();
  if (!summaries.empty()) {
    json.key("dataset_summaries").begin_array();
    for (const auto& summary : summaries) {
      json.begin_object().field("experiment_id", summary.experiment_id);
      json.field("name", summary.name).field("digest", summary.digest);
      if (summary.context) json.field("context", *summary.context);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  return json.take();
}

}  // namespace tidemill::api
