#include "exchange/store_source.h"

#include "artifacts/artifact_repository.h"
#include "exchange/folder.h"

namespace tidemill::exchange {

// All items of all pages of a search, which takes a request with a page token.
template <class Request, class Search, class Each>
static Result<> each_item(Request request, Search search, Each each) {
  do {
    auto page = TRY(search(request));
    for (auto& item : page.items) each(std::move(item));
    request.page_token = page.next_page_token;
  } while (!request.page_token.empty());
  return {};
}

std::string StoreSource::place_of(const std::string& uri) const {
  auto proxied = artifacts::proxied_path(uri);
  return proxied ? (fs::absolute(served_) / *proxied).lexically_normal().string() : uri;
}

Result<std::vector<tracking::Experiment>> StoreSource::experiments(Report&) {
  std::vector<tracking::Experiment> found;
  TRY(each_item(
      tracking::SearchExperiments{.view = tracking::ViewType::kAll, .order_by = {"experiment_id ASC"}},
      [&](const auto& request) { return store_.search_experiments(request); },
      [&](tracking::Experiment experiment) {
        experiment.artifact_location = place_of(experiment.artifact_location);
        found.push_back(std::move(experiment));
      }));
  return found;
}

Result<std::vector<std::string>> StoreSource::runs(const tracking::Experiment& experiment, Report&) {
  std::vector<std::string> ids;
  TRY(each_item(
      tracking::SearchRuns{.experiment_ids = {experiment.id},
                           .view = tracking::ViewType::kAll,
                           .order_by = {"attributes.start_time ASC"}},
      [&](const auto& request) { return store_.search_runs(request); },
      [&](const tracking::Run& run) { ids.push_back(run.info.id); }));
  return ids;
}

Result<tracking::TransferredRun> StoreSource::run(const tracking::Experiment&, const std::string& id,
                                                  Report&) {
  tracking::TransferredRun transferred = TRY(tracking::recorded_run(store_, id));
  transferred.run.info.artifact_uri = place_of(transferred.run.info.artifact_uri);
  return transferred;
}

Result<> StoreSource::metrics(const tracking::TransferredRun& run, const PointSink& sink, Report&) {
  for (const tracking::Metric& latest : run.run.metrics) {
    std::string token;
    do {
      auto page = TRY(store_.metric_history(run.run.info.id, latest.key, kMostPoints, token));
      std::vector<tracking::Point> points;
      points.reserve(page.items.size());
      for (const tracking::Metric& metric : page.items)
        points.push_back({metric.timestamp, metric.step, metric.value});
      TRY(sink(latest.key, std::move(points)));
      token = page.next_page_token;
    } while (!token.empty());
  }
  return {};
}

Result<std::vector<std::string>> StoreSource::logged_models(const tracking::Experiment& experiment, Report&) {
  std::vector<std::string> ids;
  if (experiment.lifecycle == tracking::Lifecycle::kDeleted) return ids;
  TRY(each_item(
      tracking::SearchLoggedModels{.experiment_ids = {experiment.id}},
      [&](const auto& request) { return tracking::LoggedModels(store_).search(request); },
      [&](const tracking::LoggedModel& model) { ids.push_back(model.id); }));
  return ids;
}

Result<tracking::LoggedModel> StoreSource::logged_model(const tracking::Experiment&, const std::string& id,
                                                        Report&) {
  tracking::LoggedModel model = TRY(tracking::LoggedModels(store_).get(id));
  model.artifact_uri = place_of(model.artifact_uri);
  return model;
}

Result<std::vector<std::string>> StoreSource::registered_models(Report&) {
  std::vector<std::string> names;
  // Prompts are models that a search shows only when it asks for them.
  for (const char* filter : {"", "tags.`mlflow.prompt.is_prompt` = 'true'"})
    TRY(each_item(
        tracking::SearchRegistry{.filter = filter, .max_results = tracking::kMaxModelResults},
        [&](const auto& request) { return tracking::Registry(store_).search_models(request); },
        [&](const tracking::RegisteredModel& model) { names.push_back(model.name); }));
  return names;
}

Result<tracking::TransferredModel> StoreSource::registered_model(const std::string& name, Report&) {
  tracking::Registry registry(store_);
  tracking::TransferredModel transferred{TRY(registry.model(name)), {}};
  char quote = name.find('\'') == std::string::npos ? '\'' : '"';
  TRY(each_item(
      tracking::SearchRegistry{.filter = fmt::format("name = {}{}{}", quote, name, quote),
                               .max_results = 1000,
                               .order_by = {"version_number ASC"}},
      [&](const auto& request) { return registry.search_versions(request); },
      [&](tracking::ModelVersion version) {
        version.source = place_of(version.source);
        version.storage_location = place_of(version.storage_location);
        transferred.versions.push_back(std::move(version));
      }));
  return transferred;
}

Result<> StoreSource::files(const std::string& artifact_uri, const FileSink& sink, Report& report) {
  return local_files(artifact_uri, served_, sink, report);
}

}  // namespace tidemill::exchange
