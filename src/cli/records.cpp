#include "cli/records.h"

#include <CLI/CLI.hpp>

#include "artifacts/folder_repository.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/remote.h"
#include "exchange/mlflow_json.h"
#include "exchange/open_source.h"
#include "exchange/remote_source.h"
#include "exchange/server_repository.h"

namespace tidemill::cli {
namespace {

using artifacts::ArtifactRepository;
using exchange::MlflowApi;
using tracking::CreateRun;
using tracking::Experiment;
using tracking::Page;
using tracking::Run;
using tracking::RunStatus;
using tracking::SearchExperiments;
using tracking::SearchRuns;
using tracking::ViewType;

class StoreRecords final : public Records {
 public:
  StoreRecords(const Context& context, tracking::Store store)
      : context_(context), own_(std::move(store)), store_(*own_) {}
  StoreRecords(const Context& context, tracking::Store* store) : context_(context), store_(*store) {}

  Result<std::string> create_experiment(const std::string& name, const std::string& location) override {
    return store_.create_experiment(name, location);
  }
  Result<Experiment> experiment(const std::string& id) override { return store_.experiment(id); }
  Result<Experiment> experiment_by_name(const std::string& name) override {
    return store_.experiment_by_name(name);
  }
  Result<Page<Experiment>> search_experiments(const SearchExperiments& search) override {
    return store_.search_experiments(search);
  }
  Result<> rename_experiment(const std::string& id, const std::string& name) override {
    return store_.rename_experiment(id, name);
  }
  Result<> delete_experiment(const std::string& id) override { return store_.delete_experiment(id); }
  Result<> restore_experiment(const std::string& id) override { return store_.restore_experiment(id); }
  Result<Run> create_run(const CreateRun& create) override { return store_.create_run(create); }
  Result<> end_run(const std::string& id, RunStatus status) override {
    TRY(store_.update_run({.run_id = id, .status = status, .end_time = now_ms(), .name = {}}));
    return {};
  }
  Result<Run> run(const std::string& id) override { return store_.run(id); }
  Result<Page<Run>> search_runs(const SearchRuns& search) override { return store_.search_runs(search); }
  Result<std::vector<tracking::StepRecord>> steps(const Run& run) override {
    return store_.step_records(run.info.id);
  }
  Result<> delete_run(const std::string& id) override { return store_.delete_run(id); }
  Result<> restore_run(const std::string& id) override { return store_.restore_run(id); }
  Result<std::vector<tracking::Metric>> metric_history(const std::string& run,
                                                       const std::string& key) override {
    return TRY(store_.metric_history(run, key)).items;
  }
  Result<std::vector<tracking::StepRecord>> step_records(const std::string& run) override {
    return store_.step_records(run);
  }
  std::unique_ptr<exchange::ModelRecords> models() override { return exchange::models_in(store_); }
  Result<std::unique_ptr<ArtifactRepository>> files_at(const std::string& uri) override {
    return context_.artifacts_at(uri);
  }

 private:
  const Context& context_;
  std::optional<tracking::Store> own_;
  tracking::Store& store_;
};

class ServerRecords final : public Records {
 public:
  explicit ServerRecords(MlflowApi api) : api_(std::make_shared<MlflowApi>(std::move(api))) {}

  Result<std::string> create_experiment(const std::string& name, const std::string& location) override {
    Json body{{"name", name}};
    if (!location.empty()) body["artifact_location"] = location;
    return json_string(TRY(api_->post("experiments/create", body)), "experiment_id");
  }
  Result<Experiment> experiment(const std::string& id) override {
    return experiment_in(api_->get("experiments/get", {{"experiment_id", id}}));
  }
  Result<Experiment> experiment_by_name(const std::string& name) override {
    return experiment_in(api_->get("experiments/get-by-name", {{"experiment_name", name}}));
  }
  Result<Page<Experiment>> search_experiments(const SearchExperiments& search) override {
    Json body = search_body(search);
    body["view_type"] = view_name(search.view);
    return exchange::page_from(TRY(api_->post("experiments/search", body)), "experiments",
                               exchange::experiment_from);
  }
  Result<> rename_experiment(const std::string& id, const std::string& name) override {
    return change("experiments/update", {{"experiment_id", id}, {"new_name", name}});
  }
  Result<> delete_experiment(const std::string& id) override {
    return change("experiments/delete", {{"experiment_id", id}});
  }
  Result<> restore_experiment(const std::string& id) override {
    return change("experiments/restore", {{"experiment_id", id}});
  }
  Result<Run> create_run(const CreateRun& create) override {
    Json tags = Json::array();
    for (const auto& [key, value] : create.tags) tags.push_back({{"key", key}, {"value", value}});
    Json body{{"experiment_id", create.experiment_id},
              {"user_id", create.user},
              {"start_time", create.start_time ? create.start_time : now_ms()},
              {"tags", tags}};
    if (!create.name.empty()) body["run_name"] = create.name;
    return run_in(api_->post("runs/create", body));
  }
  Result<> end_run(const std::string& id, RunStatus status) override {
    return change("runs/update",
                  {{"run_id", id}, {"status", tracking::to_string(status)}, {"end_time", now_ms()}});
  }
  Result<Run> run(const std::string& id) override { return run_in(api_->get("runs/get", {{"run_id", id}})); }
  Result<Page<Run>> search_runs(const SearchRuns& search) override {
    Json body = search_body(search);
    body["run_view_type"] = view_name(search.view);
    body["experiment_ids"] = search.experiment_ids;
    return exchange::page_from(TRY(api_->post("runs/search", body)), "runs", exchange::run_from);
  }
  // As its steps' runs tell it.
  Result<std::vector<tracking::StepRecord>> steps(const Run& run) override {
    std::vector<tracking::StepRecord> steps;
    SearchRuns search{.experiment_ids = {run.info.experiment_id},
                      .filter = fmt::format("tags.`mlflow.parentRunId` = '{}'", run.info.id),
                      .order_by = {"attributes.start_time ASC"},
                      .page_token = {}};
    do {
      auto page = TRY(search_runs(search));
      for (const auto& step : page.items)
        if (!step.tag("tidemill.step").empty()) steps.push_back(step_of(run, step));
      search.page_token = page.next_page_token;
    } while (!search.page_token.empty());
    return steps;
  }
  Result<> delete_run(const std::string& id) override { return change("runs/delete", {{"run_id", id}}); }
  Result<> restore_run(const std::string& id) override { return change("runs/restore", {{"run_id", id}}); }
  Result<std::vector<tracking::Metric>> metric_history(const std::string& run,
                                                       const std::string& key) override {
    std::vector<tracking::Metric> points;
    TRY(exchange::metric_history(*api_, run, key, [&](std::string_view, const auto& piece) -> Result<> {
      for (const auto& point : piece) points.push_back({key, point.value, point.timestamp, point.step});
      return {};
    }));
    return points;
  }
  Result<std::vector<tracking::StepRecord>> step_records(const std::string&) override {
    return std::vector<tracking::StepRecord>{};
  }
  std::unique_ptr<exchange::ModelRecords> models() override { return exchange::models_at(api_); }
  Result<std::unique_ptr<ArtifactRepository>> files_at(const std::string& uri) override {
    auto proxied = artifacts::proxied_path(uri);
    return proxied ? exchange::ServerRepository::open(api_, *proxied) : artifacts::open_repository(uri);
  }

 private:
  template <class Search>
  static Json search_body(const Search& search) {
    Json body{{"max_results", search.max_results}, {"order_by", search.order_by}};
    if (!search.filter.empty()) body["filter"] = search.filter;
    if (!search.page_token.empty()) body["page_token"] = search.page_token;
    return body;
  }
  static std::string_view view_name(ViewType view) {
    if (view == ViewType::kAll) return "ALL";
    return view == ViewType::kDeletedOnly ? "DELETED_ONLY" : "ACTIVE_ONLY";
  }
  static Result<Experiment> experiment_in(Result<Json> reply) {
    return exchange::experiment_from(TRY(std::move(reply)).value("experiment", Json::object()));
  }
  static Result<Run> run_in(Result<Json> reply) {
    return exchange::run_from(TRY(std::move(reply)).value("run", Json::object()));
  }
  static tracking::StepRecord step_of(const Run& run, const Run& step) {
    const std::string attempt(step.tag("tidemill.attempt"));
    const bool reused = step.info.status == RunStatus::kFinished && !step.tag("tidemill.reused_run").empty();
    return {.run_id = run.info.id,
            .step = std::string(step.tag("tidemill.step")),
            .state = reused ? "reused" : to_lower(tracking::to_string(step.info.status)),
            .attempt = attempt.empty() ? 1 : std::atoi(attempt.c_str()),
            .step_run = step.info.id,
            .key = {},
            .reason = std::string(step.tag("tidemill.reason"))};
  }
  Result<> change(std::string_view call, const Json& body) {
    TRY(api_->post(call, body));
    return {};
  }

  std::shared_ptr<MlflowApi> api_;
};

// "" when the command is about a store. A store that somebody names goes before the environment's server.
Result<std::string> server_of(const Context& context) {
  const std::string& named = context.tracking_uri;
  if (!named.empty() && !exchange::is_server(named))
    return fail(Code::kInvalid,
                "--tracking-uri '{}' is not an http:// or https:// URL; --store names a store",
                db::without_secrets(named));
  if (!named.empty() || context.store_is_named) return named;
  const char* uri = std::getenv("MLFLOW_TRACKING_URI");
  return uri && exchange::is_server(uri) ? uri : "";
}

}  // namespace

Result<std::unique_ptr<Records>> open_records(const Context& context, Create create) {
  std::string server = TRY(server_of(context));
  if (server.empty()) return std::make_unique<StoreRecords>(context, TRY(context.open_store(create)));
  return std::make_unique<ServerRecords>(TRY(MlflowApi::connect(server_at(server))));
}

std::unique_ptr<Records> records_of(const Context& context, tracking::Store& store) {
  return std::make_unique<StoreRecords>(context, &store);
}

Result<Experiment> find_experiment(Records& records, const std::string& id_or_name) {
  auto found = records.experiment_by_name(id_or_name);
  if (!found && found.error().code == Code::kNotFound) found = records.experiment(id_or_name);
  bool unknown = !found && (found.error().code == Code::kNotFound || found.error().code == Code::kInvalid);
  if (!unknown) return found;
  std::vector<std::string> names;
  for (const Experiment& experiment : TRY(all_experiments(records))) names.push_back(experiment.name);
  return fail(Code::kNotFound, "there is no experiment '{}'{}", id_or_name, did_you_mean(id_or_name, names));
}

Result<std::vector<Experiment>> all_experiments(Records& records, SearchExperiments search) {
  std::vector<Experiment> experiments;
  do {
    auto page = TRY(records.search_experiments(search));
    for (auto& experiment : page.items) experiments.push_back(std::move(experiment));
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  return experiments;
}

void add_record_options(CLI::App& command, Context& context) {
  add_common_options(command, context);
  command.add_option(
      "--tracking-uri", context.tracking_uri,
      "A server instead of a store: http://host:5000; without --store also MLFLOW_TRACKING_URI");
}

std::shared_ptr<std::string> add_run_id(CLI::App& command) {
  auto id = std::make_shared<std::string>();
  command.add_option("RUN,-r,--run-id", *id, "The run's id")->required();
  return id;
}

void add_view_option(CLI::App& command, ViewType& view) {
  static const std::map<std::string, ViewType> kViews{{"active_only", ViewType::kActiveOnly},
                                                      {"deleted_only", ViewType::kDeletedOnly},
                                                      {"all", ViewType::kAll}};
  command
      .add_option_function<std::string>(
          "-v,--view", [&view](const std::string& name) { view = kViews.at(name); },
          "active_only (default), deleted_only or all")
      ->transform(CLI::IsMember({"active_only", "deleted_only", "all"}, CLI::ignore_case).description(""))
      ->type_name("VIEW");
}

}  // namespace tidemill::cli
