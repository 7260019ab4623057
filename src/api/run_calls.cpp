#include "api/replies.h"
#include "api/service.h"
#include "base/json.h"

namespace tidemill::api {
namespace {

constexpr int64_t kMaxRuns = 50'000;

Result<tracking::Metric> metric_of(const Params& params) {
  tracking::Metric metric;
  metric.key = TRY(params.required_text("key"));
  metric.value = TRY(params.required_number("value"));
  metric.timestamp = TRY(params.required_integer("timestamp"));
  metric.step = TRY(params.integer("step")).value_or(0);
  return metric;
}

// What else the metric says: of which logged model it was measured, and on which data set.
Result<std::optional<tracking::MetricOfModel>> model_of(const Params& metric, size_t place) {
  tracking::MetricOfModel of_model{.metric = place, .model_id = TRY(metric.text("model_id"))};
  of_model.dataset_name = TRY(metric.text("dataset_name"));
  of_model.dataset_digest = TRY(metric.text("dataset_digest"));
  if (of_model.model_id.empty()) return std::nullopt;
  return of_model;
}

std::string run_reply(const tracking::Run& run, RunPart part) {
  JsonWriter json;
  json.begin_object().key("run");
  write(json, run, part);
  json.end_object();
  return json.take();
}

Result<tracking::CreateRun> new_run_of(const Params& params) {
  tracking::CreateRun create;
  if (std::string id = TRY(params.text("experiment_id")); !id.empty()) create.experiment_id = id;
  create.name = TRY(params.text("run_name"));
  create.user = TRY(params.text("user_id"));
  create.start_time = TRY(params.integer("start_time")).value_or(0);
  create.tags = TRY(params.pairs("tags"));
  return create;
}

Result<tracking::LogBatch> metric_log(const Params& params) {
  tracking::LogBatch log{.run_id = TRY(params.run_id()), .batch = {}};
  log.batch.metrics.push_back(TRY(metric_of(params)));
  if (auto of_model = TRY(model_of(params, 0))) log.batch.of_models.push_back(std::move(*of_model));
  return log;
}

Result<tracking::LogBatch> param_log(const Params& params) {
  tracking::LogBatch log{.run_id = TRY(params.run_id()), .batch = {}};
  std::string key = TRY(params.required_text("key"));
  log.batch.params.emplace_back(std::move(key), TRY(params.text("value")));
  return log;
}

Result<tracking::LogBatch> tag_log(const Params& params) {
  tracking::LogBatch log{.run_id = TRY(params.run_id()), .batch = {}};
  std::string key = TRY(params.required_text("key"));
  log.batch.tags.emplace_back(std::move(key), TRY(params.text("value")));
  return log;
}

Result<tracking::LogBatch> batch_log(const Params& params) {
  tracking::LogBatch log{.run_id = TRY(params.run_id()), .batch = {}};
  for (const Params& metric : TRY(params.objects("metrics"))) {
    auto of_model = TRY(model_of(metric, log.batch.metrics.size()));
    if (of_model) log.batch.of_models.push_back(std::move(*of_model));
    log.batch.metrics.push_back(TRY(metric_of(metric)));
  }
  log.batch.params = TRY(params.pairs("params"));
  log.batch.tags = TRY(params.pairs("tags"));
  return log;
}

void log_later(Service& service, Result<tracking::LogBatch> log, tracking::Store::LogCall call, Reply reply) {
  if (!log) return reply(tl::unexpected<Error>(std::move(log).error()));
  service.store.log_later(std::move(*log), call, [reply = std::move(reply)](Result<> logged) {
    reply(logged.map([] { return std::string("{}"); }));
  });
}

std::optional<tracking::RunStatus> status_of(std::string_view name) {
  if (name.size() == 1 && name[0] >= '1' && name[0] <= '5')
    return static_cast<tracking::RunStatus>(name[0] - '0');
  return tracking::run_status_from(name);
}

}  // namespace

void create_run(Service& service, const Params& params, Reply reply) {
  auto create = new_run_of(params);
  if (!create) return reply(tl::unexpected<Error>(std::move(create).error()));
  service.store.create_run_later(*create, [reply = std::move(reply)](Result<tracking::Run> run) {
    reply(run.map([](const tracking::Run& made) { return run_reply(made, RunPart::kCreated); }));
  });
}

void log_metric(Service& service, const Params& params, Reply reply) {
  log_later(service, metric_log(params), tracking::Store::LogCall::kSingle, std::move(reply));
}

void log_parameter(Service& service, const Params& params, Reply reply) {
  log_later(service, param_log(params), tracking::Store::LogCall::kSingle, std::move(reply));
}

void log_batch(Service& service, const Params& params, Reply reply) {
  log_later(service, batch_log(params), tracking::Store::LogCall::kBatch, std::move(reply));
}

void set_tag(Service& service, const Params& params, Reply reply) {
  log_later(service, tag_log(params), tracking::Store::LogCall::kSingle, std::move(reply));
}

Result<std::string> get_run(Service& service, const Params& params) {
  tracking::Run run = TRY(service.store.run(TRY(params.run_id())));
  run.info.artifact_uri = service.told(std::move(run.info.artifact_uri));
  return run_reply(run, RunPart::kWhole);
}

Result<std::string> update_run(Service& service, const Params& params) {
  tracking::UpdateRun update;
  update.run_id = TRY(params.run_id());
  update.status = status_of(TRY(params.enumerator("status")));  // an unknown one changes nothing
  update.end_time = TRY(params.integer("end_time"));
  if (std::string name = TRY(params.text("run_name")); !name.empty()) update.name = name;
  JsonWriter json;
  json.begin_object().key("run_info");
  tracking::RunInfo info = TRY(service.store.update_run(update));
  info.artifact_uri = service.told(std::move(info.artifact_uri));
  write(json, info);
  json.end_object();
  return json.take();
}

Result<std::string> delete_run(Service& service, const Params& params) {
  TRY(service.store.delete_run(TRY(params.run_id())));
  return "{}";
}

Result<std::string> restore_run(Service& service, const Params& params) {
  TRY(service.store.restore_run(TRY(params.run_id())));
  return "{}";
}

Result<std::string> search_runs(Service& service, const Params& params) {
  tracking::SearchRuns search;
  search.experiment_ids = readable_experiments(params, TRY(params.texts("experiment_ids")));
  search.filter = TRY(params.text("filter"));
  search.order_by = TRY(params.texts("order_by"));
  search.page_token = TRY(params.text("page_token"));
  search.max_results = TRY(params.integer("max_results")).value_or(search.max_results);
  if (search.max_results < 1)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be a positive integer",
                search.max_results);
  if (search.max_results > kMaxRuns)
    return fail(
        Code::kInvalid,
        "Invalid value {} for parameter 'max_results' supplied:  Hint: Value was of type 'int'. See the API "
        "docs for more information about request parameters.",
        search.max_results);
  search.view = TRY(params.view("run_view_type"));
  auto page = TRY(service.store.search_runs(search));
  JsonWriter json;
  json.begin_object();
  if (!page.items.empty()) {
    json.key("runs").begin_array();
    for (auto& run : page.items) {
      run.info.artifact_uri = service.told(std::move(run.info.artifact_uri));
      write(json, run);
    }
    json.end_array();
  }
  if (!page.next_page_token.empty()) json.field("next_page_token", page.next_page_token);
  json.end_object();
  return json.take();
}

// The models of a run are kept as a JSON list in one of its tags.
Result<std::string> log_model(Service& service, const Params& params) {
  constexpr std::string_view kHistoryTag = "mlflow.log-model.history";
  std::string id = TRY(params.run_id());
  std::string text = TRY(params.required_text("model_json"));
  auto model = parse_json(text);
  if (!model || !model->is_object())
    return fail(Code::kInvalid, "Malformed model info. \n {} \n is not a valid JSON.", text);
  std::vector<std::string> missing;
  for (const char* field : {"artifact_path", "flavors", "utc_time_created", "run_id"})
    if (!model->contains(field)) missing.push_back(fmt::format("'{}'", field));
  if (!missing.empty())
    return fail(Code::kInvalid, "Model json is missing mandatory fields: {{{}}}", fmt::join(missing, ", "));
  tracking::Run run = TRY(service.store.run(id));
  auto history = parse_json(run.tag(kHistoryTag));
  Json list = history && history->is_array() ? std::move(*history) : Json::array();
  list.push_back(std::move(*model));
  TRY(service.store.set_tag(id, kHistoryTag, dump_json(list)));
  return "{}";
}

Result<std::string> delete_tag(Service& service, const Params& params) {
  std::string id = TRY(params.run_id());
  TRY(service.store.delete_tag(id, TRY(params.required_text("key"))));
  return "{}";
}

}  // namespace tidemill::api
