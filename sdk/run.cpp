#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/id.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "log_queue.h"
#include "server.h"
#include "system_metrics.h"
#include "tidemill/tidemill.h"

namespace tidemill::sdk {
namespace {

template <class T>
Result<T> for_people(tidemill::Result<T> result) {
  if (!result) return tl::unexpected<std::string>(std::move(result).error().message);
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return std::move(*result);
  }
}

std::string user_name() {
  if (std::string name = first_of(env("LOGNAME"), env("USER")); !name.empty()) return name;
  char buffer[1024];
  passwd entry{}, *found = nullptr;
  getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found);
  return found ? found->pw_name : "";
}

// What may be written to a disk, and names the server as others do: the address without user and password.
std::string address_of(std::string uri) {
  while (uri.ends_with('/')) uri.pop_back();
  size_t host = uri.find("://");
  if (host == std::string::npos) return uri;
  size_t at = uri.find('@', host + 3);
  if (at < uri.find('/', host + 3)) uri.erase(host + 3, at + 1 - (host + 3));
  return uri;
}

// The folder of a file:// URI or a plain path, as artifact URIs of local runs are.
std::optional<fs::path> local_folder(std::string_view uri) {
  for (std::string_view prefix : {"file://localhost/", "file:///", "file:/"})
    if (uri.starts_with(prefix)) return "/" + url_decode(uri.substr(prefix.size()));
  size_t colon = uri.find(':');
  if (uri.empty() || (colon != std::string_view::npos && uri.find('/') > colon)) return std::nullopt;
  return fs::path(uri);
}

tidemill::Result<std::string> find_or_create_experiment(Server& server, const std::string& name) {
  for (bool created = false;; created = true) {
    auto found = server.get("experiments/get-by-name", "experiment_name", name);
    if (found) return json_string((*found)["experiment"], "experiment_id");
    if (found.error().code != Code::kNotFound || created) return tl::unexpected<Error>(found.error());
    auto made = server.post("experiments/create", {{"name", name}});
    if (made) return json_string(*made, "experiment_id");
    if (made.error().code != Code::kConflict)
      return tl::unexpected<Error>(made.error());  // else: somebody was faster
  }
}

std::string program_name() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

tidemill::Result<Json> create_run(Server& server, const Options& options) {
  std::string experiment = env("MLFLOW_EXPERIMENT_ID");
  std::string name = first_of(options.experiment, env("MLFLOW_EXPERIMENT_NAME"));
  if (!name.empty() || experiment.empty())
    experiment = TRY(find_or_create_experiment(server, first_of(name, "Default")));
  Json body = {{"experiment_id", experiment}, {"user_id", user_name()}, {"start_time", now_ms()}};
  if (!options.run_name.empty()) body["run_name"] = options.run_name;
  std::vector<KeyValue> tags = {
      {"mlflow.user", user_name()}, {"mlflow.source.name", program_name()}, {"mlflow.source.type", "LOCAL"}};
  if (!options.parent_run_id.empty()) tags.emplace_back("mlflow.parentRunId", options.parent_run_id);
  body["tags"] = pairs_to_json(tags);
  return server.post("runs/create", body);
}

tidemill::Result<> copy_into(const fs::path& file, const fs::path& root, const std::string& path) {
  fs::path target = TRY(path_inside(root, path));
  std::error_code error;
  if (fs::equivalent(file, target, error)) return {};
  TRY(make_dirs(target.parent_path()));
  fs::path temporary = target;
  temporary += fmt::format(".{:016x}.tmp", random_u64());
  fs::copy_file(file, temporary, error);
  if (!error) fs::rename(temporary, target, error);
  if (!error) return {};
  std::error_code ignored;
  fs::remove(temporary, ignored);
  return tl::unexpected<Error>(
      errno_error(fmt::format("copy {} to {}", file.string(), target.string()), error.value()));
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
  tidemill::Result<> store(const fs::path& file, const std::string& path);
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

tidemill::Result<> Run::State::store(const fs::path& file, const std::string& path) {
  if (auto folder = local_folder(artifact_uri)) return copy_into(file, *folder, path);
  constexpr std::string_view kProxy = "mlflow-artifacts:";
  if (!artifact_uri.starts_with(kProxy))
    return fail(Code::kInvalid,
                "artifacts at '{}' cannot be written from here: neither a folder nor served by the "
                "tracking server",
                artifact_uri);
  std::string_view root = std::string_view(artifact_uri).substr(kProxy.size());
  if (root.starts_with("//")) root.remove_prefix(std::min(root.find('/', 2), root.size()));
  while (root.starts_with('/')) root.remove_prefix(1);
  std::string target = fmt::format("/api/2.0/mlflow-artifacts/artifacts/{}/{}", root, url_encode(path, "/"));
  return server.put_file(target, file);
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
  return run_id.empty() ? create_run(server, options) : server.get("runs/get", "run_id", run_id);
}

Result<Run> Run::start(const Options& options) {
  std::string uri =
      first_of(first_of(options.tracking_uri, env("MLFLOW_TRACKING_URI")), "http://127.0.0.1:5000");
  auto server = Server::connect(uri);
  if (!server) return tl::unexpected<std::string>(server.error().message);
  auto state = std::make_unique<State>(std::move(*server));
  auto run = find_or_create_run(state->server, options);
  if (!run) return tl::unexpected<std::string>(run.error().message);
  const Json info = run->value(Json::json_pointer("/run/info"), Json::object());
  state->id = json_string(info, "run_id");
  state->experiment_id = json_string(info, "experiment_id");
  state->artifact_uri = json_string(info, "artifact_uri");
  for (const Json& param : run->value(Json::json_pointer("/run/data/params"), Json::array()))
    state->given_params[json_string(param, "key")] = json_string(param, "value");
  state->joined = !first_of(options.run_id, env("MLFLOW_RUN_ID")).empty();
  if (state->id.empty())
    return tl::unexpected<std::string>(fmt::format("{} did not answer as an MLflow server does", uri));
  state->server.be_patient();
  fs::path folder = options.spool_dir.empty() ? Spool::default_folder() : options.spool_dir;
  state->queue = std::make_unique<LogQueue>(
      [s = state.get()](const std::string& run_id, const LogBatch& batch) { return s->send(run_id, batch); },
      Spool(folder, address_of(uri), state->id), options.patience);
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

fs::path Run::local_artifact_dir() const { return local_folder(state_->artifact_uri).value_or(fs::path()); }

Result<> Run::log_artifact(const fs::path& file, std::string_view folder) {
  std::string name = file.filename().string();
  return for_people(state_->store(file, folder.empty() ? name : fmt::format("{}/{}", folder, name)));
}

Result<> Run::log_text(std::string_view text, std::string_view artifact_path) {
  auto store = [&]() -> tidemill::Result<> {
    auto scratch = TRY(TempDir::create());
    fs::path file = scratch.path() / "text";
    TRY(write_file_atomic(file, text, Durable::no));
    return state_->store(file, std::string(artifact_path));
  };
  return for_people(store());
}

Result<> Run::flush() { return for_people(state_->queue->flush()); }
Result<> Run::end(std::string_view status) { return for_people(state_->end(status)); }

}  // namespace tidemill::sdk
