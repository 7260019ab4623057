#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "log_queue.h"
#include "new_run.h"
#include "public_result.h"
#include "run_files.h"
#include "server.h"
#include "system_metrics.h"
#include "tidemill/tidemill.h"

namespace tidemill::sdk {
namespace {

// How long a call tries to reach a server that has been there.
constexpr std::chrono::seconds kPatience{120};

// What may be written to a disk, and names the server as others do: the address without user and password.
std::string address_of(std::string uri) {
  while (uri.ends_with('/')) uri.pop_back();
  size_t host = uri.find("://");
  if (host == std::string::npos) return uri;
  size_t at = uri.find('@', host + 3);
  if (at < uri.find('/', host + 3)) uri.erase(host + 3, at + 1 - (host + 3));
  return uri;
}

tidemill::Result<std::string> find_or_create_experiment(Server& server, const std::string& name) {
  for (bool created = false;; created = true) {
    auto found = server.get("experiments/get-by-name", {{"experiment_name", name}});
    if (found) return json_string((*found)["experiment"], "experiment_id");
    if (found.error().code != Code::kNotFound || created)
      return tl::unexpected<tidemill::Error>(found.error());
    auto made = server.post("experiments/create", {{"name", name}});
    if (made) return json_string(*made, "experiment_id");
    if (made.error().code != Code::kConflict)
      return tl::unexpected<tidemill::Error>(made.error());  // else: somebody was faster
  }
}

tidemill::Result<Json> create_run(Server& server, const Options& options) {
  std::string experiment = env("MLFLOW_EXPERIMENT_ID");
  std::string name = first_of(options.experiment, env("MLFLOW_EXPERIMENT_NAME"));
  if (!name.empty() || experiment.empty())
    experiment = TRY(find_or_create_experiment(server, first_of(name, "Default")));
  NewRun run{.experiment_id = experiment, .name = options.run_name, .parent_run_id = options.parent_run_id};
  return server.post("runs/create", to_json(run));
}

}  // namespace

struct Run::State {
  Server server;
  std::string id, experiment_id, artifact_uri;
  std::map<std::string, std::string> given_params;  // what a joined run had already
  bool joined = false;
  bool ended = false;
  std::mutex ending;
  std::unique_ptr<LogQueue> queue;
  std::unique_ptr<SystemMonitor> monitor;

  explicit State(Server s) : server(std::move(s)) {}
  tidemill::Result<> send(const std::string& run_id, const LogBatch& batch);
  RunFiles files() { return RunFiles(server, id, artifact_uri); }
  tidemill::Result<> end(std::string_view status);
  void watch_machine(const Json& metrics);
};

tidemill::Result<> Run::State::send(const std::string& run_id, const LogBatch& batch) {
  if (batch.end) {
    Json body = {{"run_id", run_id}, {"status", batch.end->status}, {"end_time", batch.end->time}};
    TRY(server.post("runs/update", body, Attempts::kOne));
    return {};
  }
  Json body = to_json(batch);
  body["run_id"] = run_id;
  TRY(server.post("runs/log-batch", body, Attempts::kOne));
  return {};
}

tidemill::Result<> Run::State::end(std::string_view status) {
  {
    std::lock_guard lock(ending);
    monitor.reset();
    if (!joined && !ended) queue->add_end({std::string(status), now_ms()});
    ended = true;
  }
  return queue->flush();
}

// A run that goes on has system metrics already; theirs go on behind them, as MLflow's do.
void Run::State::watch_machine(const Json& metrics) {
  int64_t step = 0;
  for (const Json& metric : metrics)
    if (json_string(metric, "key").starts_with("system/"))
      step = std::max(step, json_int(metric, "step") + 1);
  monitor = std::make_unique<SystemMonitor>(SystemMonitor::Settings::from_environment(),
                                            [this, step](const NamedValues& values, int64_t sample) {
                                              std::vector<QueuedMetric> queued;
                                              for (const auto& [key, value] : values)
                                                queued.push_back({key, value, now_ms(), step + sample});
                                              queue->add_metrics(std::move(queued));
                                            });
}

static tidemill::Result<Json> find_or_create_run(Server& server, const Options& options) {
  std::string run_id = first_of(options.run_id, env("MLFLOW_RUN_ID"));
  return run_id.empty() ? create_run(server, options) : server.get("runs/get", {{"run_id", run_id}});
}

Result<Run> Run::start(const Options& options) {
  auto server = Server::connect(options.tracking_uri);
  if (!server) return to_public(std::move(server).error());
  auto state = std::make_unique<State>(std::move(*server));
  auto run = find_or_create_run(state->server, options);
  if (!run) return to_public(std::move(run).error());
  const Json info = run->value(Json::json_pointer("/run/info"), Json::object());
  state->id = json_string(info, "run_id");
  state->experiment_id = json_string(info, "experiment_id");
  state->artifact_uri = json_string(info, "artifact_uri");
  for (const Json& param : run->value(Json::json_pointer("/run/data/params"), Json::array()))
    state->given_params[json_string(param, "key")] = json_string(param, "value");
  state->joined = !first_of(options.run_id, env("MLFLOW_RUN_ID")).empty();
  if (state->id.empty())
    return to_public(
        {Code::kUnavailable, fmt::format("{} did not answer as an MLflow server does", state->server.uri())});
  state->server.be_patient(kPatience);
  fs::path folder = options.spool_dir.empty() ? Spool::default_folder() : options.spool_dir;
  state->queue = std::make_unique<LogQueue>(
      [s = state.get()](const std::string& run_id, const LogBatch& batch) { return s->send(run_id, batch); },
      Spool(folder, address_of(state->server.uri()), state->id), options.patience);
  if (options.system_metrics.value_or(to_lower(env("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING")) == "true"))
    state->watch_machine(run->value(Json::json_pointer("/run/data/metrics"), Json::array()));
  return Run(std::move(state));
}

std::optional<std::string> Run::given_param(std::string_view key) const {
  auto found = state_->given_params.find(std::string(key));
  return found == state_->given_params.end() ? std::nullopt : std::optional(found->second);
}

Run::Run(std::unique_ptr<State> state) : state_(std::move(state)) {}
Run::Run(Run&&) noexcept = default;
Run& Run::operator=(Run&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
Run::~Run() {
  if (state_ && !state_->ended) (void)state_->end("FAILED");
}

const std::string& Run::id() const { return state_->id; }
const std::string& Run::experiment_id() const { return state_->experiment_id; }
const std::string& Run::artifact_uri() const { return state_->artifact_uri; }

void Run::log_param(std::string_view key, std::string_view value) {
  state_->queue->add_param(std::string(key), std::string(value));
}

void Run::log_metric(std::string_view key, double value, int64_t step) {
  state_->queue->add_metrics({{std::string(key), value, now_ms(), step}});
}

void Run::log_metrics(const std::vector<std::pair<std::string, double>>& metrics, int64_t step) {
  std::vector<QueuedMetric> queued;
  int64_t now = now_ms();
  for (const auto& [key, value] : metrics) queued.push_back({key, value, now, step});
  state_->queue->add_metrics(std::move(queued));
}

void Run::set_tag(std::string_view key, std::string_view value) {
  state_->queue->add_tag(std::string(key), std::string(value));
}

fs::path Run::local_artifact_dir() const { return state_->files().local_folder().value_or(fs::path()); }

Result<> Run::log_artifact(const fs::path& file, std::string_view folder) {
  std::string name = file.filename().string();
  return to_public(state_->files().put(file, folder.empty() ? name : fmt::format("{}/{}", folder, name)));
}

Result<> Run::log_text(std::string_view text, std::string_view artifact_path) {
  auto store = [&]() -> tidemill::Result<> {
    auto scratch = TRY(TempDir::create());
    fs::path file = scratch.path() / "text";
    TRY(write_file_atomic(file, text, Durable::no));
    return state_->files().put(file, std::string(artifact_path));
  };
  return to_public(store());
}

Result<> Run::flush() { return to_public(state_->queue->flush()); }
Result<> Run::end(std::string_view status) { return to_public(state_->end(status)); }

}  // namespace tidemill::sdk
