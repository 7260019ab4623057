#include "exchange/remote_source.h"

#include "artifacts/artifact_repository.h"
#include "base/text.h"
#include "exchange/folder.h"
#include "exchange/mlflow_json.h"

namespace tidemill::exchange {

constexpr int kMostLevels = 64;

Result<> metric_history(MlflowApi& api, const std::string& run_id, const std::string& key,
                        const PointSink& sink) {
  std::vector<tracking::Point> points;
  TRY(each_page(
      "metrics",
      [&](const std::string& token) {
        MlflowApi::Query query{{"run_id", run_id}, {"metric_key", key}, {"max_results", "25000"}};
        if (!token.empty()) query.emplace_back("page_token", token);
        return api.get("metrics/get-history", query);
      },
      [&](const Json& json) -> Result<> {
        tracking::Metric metric = TRY(metric_from(json));
        points.push_back({metric.timestamp, metric.step, metric.value});
        return points.size() < Source::kMostPoints ? Result<>() : sink(key, std::exchange(points, {}));
      }));
  return points.empty() ? Result<>() : sink(key, std::move(points));
}

Result<std::vector<tracking::Experiment>> RemoteSource::experiments(Report& report) {
  std::vector<tracking::Experiment> found;
  TRY(each_page(
      "experiments",
      [&](const std::string& token) {
        return api_.post("experiments/search",
                         Json{{"max_results", 1000}, {"view_type", "ALL"}, {"page_token", token}});
      },
      [&](const Json& json) -> Result<> {
        auto experiment = experiment_from(json);
        if (experiment)
          found.push_back(std::move(*experiment));
        else
          report.problem("an experiment", experiment.error());
        return {};
      }));
  return found;
}

Result<std::vector<std::string>> RemoteSource::runs(const tracking::Experiment& experiment, Report&) {
  std::vector<std::string> ids;
  Json search{{"experiment_ids", {experiment.id}},
              {"run_view_type", "ALL"},
              {"max_results", 1000},
              {"order_by", {"attributes.start_time ASC"}}};
  TRY(each_page(
      "runs",
      [&](const std::string& token) {
        search["page_token"] = token;
        return api_.post("runs/search", search);
      },
      [&](const Json& json) -> Result<> {
        ids.push_back(TRY(run_from(json)).info.id);
        return {};
      }));
  return ids;
}

Result<tracking::TransferredRun> RemoteSource::run(const tracking::Experiment&, const std::string& id,
                                                   Report&) {
  Json reply = TRY(api_.get("runs/get", {{"run_id", id}}));
  return tracking::TransferredRun{.run = TRY(run_from(reply.value("run", Json::object()))),
                                  .deleted_time = {}};
}

Result<> RemoteSource::metrics(const tracking::TransferredRun& run, const PointSink& sink, Report& report) {
  for (const tracking::Metric& metric : run.run.metrics) {
    Result<> done = metric_history(api_, run.run.info.id, metric.key, sink);
    if (!done && !concerns_one_thing(done.error())) return done;
    if (!done) report.problem(fmt::format("metric {} of run {}", metric.key, run.run.info.id), done.error());
  }
  return {};
}

Result<std::vector<std::string>> RemoteSource::logged_models(const tracking::Experiment& experiment,
                                                             Report&) {
  std::vector<std::string> ids;
  if (experiment.lifecycle == tracking::Lifecycle::kDeleted) return ids;
  Json search{{"experiment_ids", {experiment.id}}};
  Result<> found = each_page(
      "models",
      [&](const std::string& token) {
        search["page_token"] = token;
        return api_.post("logged-models/search", search);
      },
      [&](const Json& json) -> Result<> {
        ids.push_back(TRY(logged_model_from(json)).id);
        return {};
      });
  // MLflow 2 has none.
  if (!found && found.error().code != Code::kNotFound) return tl::unexpected<Error>(std::move(found).error());
  return ids;
}

Result<tracking::LoggedModel> RemoteSource::logged_model(const tracking::Experiment&, const std::string& id,
                                                         Report&) {
  Json reply = TRY(api_.get("logged-models/" + url_encode(id), {}));
  return logged_model_from(reply.value("model", Json::object()));
}

Result<std::vector<std::string>> RemoteSource::registered_models(Report&) {
  std::vector<std::string> names;
  // Prompts are models that a search shows only when it asks for them.
  for (const char* filter : {"", "tags.`mlflow.prompt.is_prompt` = 'true'"})
    TRY(each_page(
        "registered_models",
        [&](const std::string& token) {
          MlflowApi::Query query{{"max_results", "1000"}};
          if (*filter) query.emplace_back("filter", filter);
          if (!token.empty()) query.emplace_back("page_token", token);
          return api_.get("registered-models/search", query);
        },
        [&](const Json& json) -> Result<> {
          names.push_back(TRY(registered_model_from(json)).name);
          return {};
        }));
  return names;
}

Result<tracking::TransferredModel> RemoteSource::registered_model(const std::string& name, Report& report) {
  Json reply = TRY(api_.get("registered-models/get", {{"name", name}}));
  tracking::TransferredModel transferred{
      TRY(registered_model_from(reply.value("registered_model", Json::object()))), {}};
  char quote = name.find('\'') == std::string::npos ? '\'' : '"';
  TRY(each_page(
      "model_versions",
      [&](const std::string& token) {
        MlflowApi::Query query{{"filter", fmt::format("name = {}{}{}", quote, name, quote)},
                               {"max_results", "10000"}};
        if (!token.empty()) query.emplace_back("page_token", token);
        return api_.get("model-versions/search", query);
      },
      [&](const Json& json) -> Result<> {
        auto version = model_version_from(json);
        if (version)
          transferred.versions.push_back(std::move(*version));
        else
          report.problem("a version of registered model " + name, version.error());
        return {};
      }));
  return transferred;
}

Result<> RemoteSource::files(const std::string& artifact_uri, const FileSink& sink, Report& report) {
  auto root = artifacts::proxied_path(artifact_uri);
  if (!root) return local_files(artifact_uri, {}, sink, report);
  TempDir temporary = TRY(TempDir::create());
  return files_in(*root, "", 0, temporary.path() / "file", sink, report);
}

Result<> RemoteSource::files_in(const std::string& root, const std::string& folder, int level,
                                const fs::path& temporary, const FileSink& sink, Report& report) {
  std::string place = folder.empty() ? root : root + "/" + folder;
  if (level > kMostLevels) {
    report.problem(place, fmt::format("more than {} levels of folders", kMostLevels));
    return {};
  }
  for (const MlflowApi::Listed& listed : TRY(api_.list_artifacts(place))) {
    std::string name = listed.name.substr(listed.name.rfind('/') + 1);
    if (name.empty() || name == "." || name == ".." || name.find('\\') != std::string::npos) {
      report.problem(place, fmt::format("the server names a file '{}' in it", listed.name));
      continue;
    }
    std::string path = folder.empty() ? name : folder + "/" + name;
    if (listed.is_folder) {
      TRY(files_in(root, path, level + 1, temporary, sink, report));
      continue;
    }
    TRY(sink({.path = path, .size = listed.size, .written = std::nullopt, .fetch = [&]() -> Result<fs::path> {
                TRY_IN(place + "/" + name, api_.download(place + "/" + name, temporary));
                return temporary;
              }}));
  }
  return {};
}

}  // namespace tidemill::exchange
