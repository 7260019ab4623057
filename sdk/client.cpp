#include "tidemill/client.h"

#include <algorithm>

#include "base/time.h"
#include "client_state.h"
#include "new_run.h"

namespace tidemill::sdk {
namespace {

QueuedMetric stamped(const Metric& metric) {
  return {metric.key, metric.value, metric.timestamp ? metric.timestamp : now_ms(), metric.step};
}

Json search_body(const Search& search) {
  Json body = {{"max_results", search.max_results}, {"order_by", search.order_by}};
  if (!search.filter.empty()) body["filter"] = search.filter;
  if (!search.page_token.empty()) body["page_token"] = search.page_token;
  return body;
}

// The files below a folder. Links to folders are not followed, as by MLflow.
tidemill::Result<std::vector<fs::path>> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error))
    if (std::error_code ignored; it->is_regular_file(ignored)) files.push_back(it->path());
  if (error) return tl::unexpected<tidemill::Error>(errno_error("read " + folder.string(), error.value()));
  std::sort(files.begin(), files.end());
  return files;
}

std::string in_folder(std::string_view folder, std::string name) {
  while (folder.ends_with('/')) folder.remove_suffix(1);
  return folder.empty() ? name : fmt::format("{}/{}", folder, name);
}

}  // namespace

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::connect(const ClientOptions& options) {
  auto server = Server::connect(options.tracking_uri);
  if (!server) return to_public(std::move(server).error());
  server->be_patient(options.patience);
  return Client(std::make_unique<State>(State{std::move(*server)}));
}

Result<std::string> Client::create_experiment(std::string_view name, std::string_view artifact_location,
                                              const Tags& tags) {
  Json body = {{"name", name}, {"tags", tags_to_json(tags)}};
  if (!artifact_location.empty()) body["artifact_location"] = artifact_location;
  auto reply = state_->server.post("experiments/create", body);
  if (!reply) return to_public(std::move(reply).error());
  return json_string(*reply, "experiment_id");
}

Result<Experiment> Client::experiment(std::string_view id) {
  return state_->read(state_->get("experiments/get", {{"experiment_id", std::string(id)}}), "experiment",
                      experiment_from);
}

Result<Experiment> Client::experiment_by_name(std::string_view name) {
  return state_->read(state_->get("experiments/get-by-name", {{"experiment_name", std::string(name)}}),
                      "experiment", experiment_from);
}

Result<Page<Experiment>> Client::search_experiments(const Search& search) {
  Json body = search_body(search);
  body["view_type"] = to_string(search.view);
  return state_->page(state_->server.post("experiments/search", body), "experiments", experiment_from);
}

Result<> Client::rename_experiment(std::string_view id, std::string_view name) {
  return state_->post("experiments/update", {{"experiment_id", id}, {"new_name", name}});
}

Result<> Client::set_experiment_tag(std::string_view id, std::string_view key, std::string_view value) {
  return state_->post("experiments/set-experiment-tag",
                      {{"experiment_id", id}, {"key", key}, {"value", value}});
}

Result<> Client::delete_experiment(std::string_view id) {
  return state_->post("experiments/delete", {{"experiment_id", id}});
}

Result<> Client::restore_experiment(std::string_view id) {
  return state_->post("experiments/restore", {{"experiment_id", id}});
}

Result<RunRecord> Client::create_run(const NewRun& run) {
  return state_->read(state_->server.post("runs/create", to_json(run)), "run", run_from);
}

Result<RunRecord> Client::run(std::string_view id) {
  return state_->read(state_->get("runs/get", {{"run_id", std::string(id)}}), "run", run_from);
}

Result<Page<RunRecord>> Client::search_runs(const std::vector<std::string>& experiment_ids,
                                            const Search& search) {
  Json body = search_body(search);
  body["experiment_ids"] = experiment_ids;
  body["run_view_type"] = to_string(search.view);
  return state_->page(state_->server.post("runs/search", body), "runs", run_from);
}

Result<> Client::log_metric(std::string_view run_id, const Metric& metric) {
  Json body = to_json(stamped(metric));
  body["run_id"] = run_id;
  return state_->post("runs/log-metric", body);
}

Result<> Client::log_param(std::string_view run_id, std::string_view key, std::string_view value) {
  return state_->post("runs/log-parameter", {{"run_id", run_id}, {"key", key}, {"value", value}});
}

Result<> Client::log_batch(std::string_view run_id, const RunData& data) {
  LogBacklog backlog;
  for (const Metric& metric : data.metrics) backlog.metrics.push_back(stamped(metric));
  backlog.params.assign(data.params.begin(), data.params.end());
  backlog.tags.assign(data.tags.begin(), data.tags.end());
  while (backlog.size() > 0) {
    Json body = to_json(take_batch(backlog));
    body["run_id"] = run_id;
    if (auto logged = state_->post("runs/log-batch", body); !logged) return logged;
  }
  return {};
}

Result<> Client::set_tag(std::string_view run_id, std::string_view key, std::string_view value) {
  return state_->post("runs/set-tag", {{"run_id", run_id}, {"key", key}, {"value", value}});
}

Result<> Client::delete_tag(std::string_view run_id, std::string_view key) {
  return state_->post("runs/delete-tag", {{"run_id", run_id}, {"key", key}});
}

Result<> Client::rename_run(std::string_view id, std::string_view name) {
  return state_->post("runs/update", {{"run_id", id}, {"run_name", name}});
}

Result<> Client::set_terminated(std::string_view run_id, RunStatus status, int64_t end_time) {
  return state_->post(
      "runs/update",
      {{"run_id", run_id}, {"status", to_string(status)}, {"end_time", end_time ? end_time : now_ms()}});
}

Result<> Client::delete_run(std::string_view id) { return state_->post("runs/delete", {{"run_id", id}}); }
Result<> Client::restore_run(std::string_view id) { return state_->post("runs/restore", {{"run_id", id}}); }

Result<std::vector<Metric>> Client::metric_history(std::string_view run_id, std::string_view key) {
  std::vector<Metric> points;
  auto read = state_->server.each_page(
      "metrics/get-history",
      {{"run_id", std::string(run_id)}, {"metric_key", std::string(key)}, {"max_results", "25000"}},
      "metrics", [&](const Json& json) -> tidemill::Result<> {
        points.push_back(TRY(metric_from(json)));
        return {};
      });
  if (!read) return to_public(std::move(read).error());
  return points;
}

Result<std::vector<ArtifactInfo>> Client::list_artifacts(std::string_view run_id, std::string_view folder) {
  return to_public(RunFiles(state_->server, std::string(run_id), "").list(folder));
}

Result<fs::path> Client::download_artifacts(std::string_view run_id, std::string_view path,
                                            const fs::path& destination) {
  auto record = run(run_id);
  if (!record) return tl::unexpected<Error>(std::move(record).error());
  RunFiles files(state_->server, record->id, record->artifact_uri);
  return to_public(files.download(std::string(path), destination));
}

Result<> Client::log_artifact(std::string_view run_id, const fs::path& file, std::string_view folder) {
  auto record = run(run_id);
  if (!record) return tl::unexpected<Error>(std::move(record).error());
  RunFiles files(state_->server, record->id, record->artifact_uri);
  return to_public(files.put(file, in_folder(folder, file.filename().string())));
}

Result<> Client::log_artifacts(std::string_view run_id, const fs::path& local_folder,
                               std::string_view folder) {
  auto record = run(run_id);
  if (!record) return tl::unexpected<Error>(std::move(record).error());
  RunFiles files(state_->server, record->id, record->artifact_uri);
  auto found = files_below(local_folder);
  if (!found) return to_public(std::move(found).error());
  for (const fs::path& file : *found) {
    std::string place = in_folder(folder, file.lexically_relative(local_folder).generic_string());
    if (auto put = files.put(file, place); !put) return to_public(std::move(put).error());
  }
  return {};
}

}  // namespace tidemill::sdk
