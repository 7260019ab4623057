#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "base/id.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "log_queue.h"
#include "net/http_client.h"
#include "tidemill/tidemill.h"

namespace tidemill::sdk {
namespace {

using std::chrono::milliseconds;
namespace chrono = std::chrono;

constexpr milliseconds kFirstPause{100}, kLongestPause{10'000};
// How long to try to reach the server: at the start it may never have been there, later it was.
constexpr chrono::seconds kPatienceAtStart{5}, kPatience{120};

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string first_of(std::string a, std::string b) { return a.empty() ? b : a; }

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

Json number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json pairs(const std::vector<std::pair<std::string, std::string>>& items) {
  Json list = Json::array();
  for (const auto& [key, value] : items) list.push_back({{"key", key}, {"value", value}});
  return list;
}

// The folder of a file:// URI or a plain path, as artifact URIs of local runs are.
std::optional<fs::path> local_folder(std::string_view uri) {
  for (std::string_view prefix : {"file://localhost/", "file:///", "file:/"})
    if (uri.starts_with(prefix)) return "/" + url_decode(uri.substr(prefix.size()));
  size_t colon = uri.find(':');
  if (uri.empty() || (colon != std::string_view::npos && uri.find('/') > colon)) return std::nullopt;
  return fs::path(uri);
}

// The calls of MLflow's REST interface that a run needs, repeated while the server is away or busy.
class Server {
 public:
  static tidemill::Result<Server> connect(const std::string& uri);

  tidemill::Result<Json> post(std::string_view call, const Json& body);
  tidemill::Result<Json> get(std::string_view call, std::string_view key, std::string_view value);
  tidemill::Result<> put_file(const std::string& target, const fs::path& file);
  void be_patient() { patience_ = kPatience; }

 private:
  explicit Server(HttpClient client) : client_(std::move(client)) {}
  tidemill::Result<ClientResponse> send(ClientRequest request);

  HttpClient client_;
  std::string authorization_;
  chrono::seconds patience_ = kPatienceAtStart;
};

tidemill::Result<Server> Server::connect(const std::string& uri) {
  std::string address = uri;
  std::string user = env("MLFLOW_TRACKING_USERNAME"), token = env("MLFLOW_TRACKING_TOKEN");
  size_t host = address.find("://");
  if (!user.empty() && host != std::string::npos && address.find('@') == std::string::npos)
    address.insert(host + 3,
                   fmt::format("{}:{}@", url_encode(user), url_encode(env("MLFLOW_TRACKING_PASSWORD"))));
  std::string insecure = to_lower(env("MLFLOW_TRACKING_INSECURE_TLS"));
  auto client = HttpClient::create(address, {.certificates = env("MLFLOW_TRACKING_SERVER_CERT_PATH"),
                                             .anybody = insecure == "true" || insecure == "1"});
  if (!client && address.starts_with("https://"))
    return tl::unexpected<Error>(std::move(client).error().in(uri));
  if (!client)
    return fail(Code::kInvalid,
                "tracking URI '{}' is not an http:// or https:// URL; set MLFLOW_TRACKING_URI", uri);
  Server server(std::move(*client));
  if (user.empty() && !token.empty()) server.authorization_ = "Bearer " + token;
  return server;
}

bool may_pass(int status) { return status == 429 || status == 408 || status >= 500; }

Error refusal(const ClientResponse& response) {
  auto body = parse_json(response.body);
  std::string message = body ? json_string(*body, "message") : "";
  if (message.empty())
    message = fmt::format("the server answered {} {}", response.status, reason_phrase(response.status));
  if (may_pass(response.status)) return {Code::kUnavailable, std::move(message)};
  if (response.status == 404) return {Code::kNotFound, std::move(message)};
  bool exists = body && json_string(*body, "error_code") == "RESOURCE_ALREADY_EXISTS";
  return {exists ? Code::kConflict : Code::kInvalid, std::move(message)};
}

tidemill::Result<ClientResponse> Server::send(ClientRequest request) {
  if (!authorization_.empty()) request.headers.add("Authorization", authorization_);
  auto give_up = chrono::steady_clock::now() + patience_;
  for (milliseconds pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    auto response = client_.send(request);
    if (response && response->status >= 200 && response->status < 300) return response;
    Error error = response ? refusal(*response) : std::move(response).error();
    bool transient = error.code == Code::kUnavailable || error.code == Code::kTimeout;
    if (!transient || chrono::steady_clock::now() + pause > give_up)
      return tl::unexpected<Error>(std::move(error));
    // A little random, so that many steps do not come back at the same moment.
    std::this_thread::sleep_for(pause + milliseconds(random_u64() % static_cast<uint64_t>(pause.count())));
  }
}

tidemill::Result<Json> Server::post(std::string_view call, const Json& body) {
  ClientRequest request{
      .method = "POST", .target = fmt::format("/api/2.0/mlflow/{}", call), .body = dump_json(body)};
  request.headers.add("Content-Type", "application/json");
  return parse_json(TRY(send(std::move(request))).body);
}

tidemill::Result<Json> Server::get(std::string_view call, std::string_view key, std::string_view value) {
  return parse_json(
      TRY(send({.target = fmt::format("/api/2.0/mlflow/{}?{}={}", call, key, url_encode(value))})).body);
}

tidemill::Result<> Server::put_file(const std::string& target, const fs::path& file) {
  ClientRequest request{.method = "PUT", .target = target, .body_file = file};
  request.headers.add("Content-Type", "application/octet-stream");
  TRY(send(std::move(request)));
  return {};
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
  body["tags"] = pairs({{"mlflow.user", user_name()},
                        {"mlflow.source.name", program_name()},
                        {"mlflow.source.type", "LOCAL"}});
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

  explicit State(Server s) : server(std::move(s)) {}
  tidemill::Result<> send(const LogBatch& batch);
  tidemill::Result<> store(const fs::path& file, const std::string& path);
  tidemill::Result<> end(std::string_view status);
};

tidemill::Result<> Run::State::send(const LogBatch& batch) {
  Json body = {{"run_id", id}};
  Json& metrics = body["metrics"] = Json::array();
  for (const QueuedMetric& metric : batch.metrics)
    metrics.push_back({{"key", metric.key},
                       {"value", number(metric.value)},
                       {"timestamp", metric.timestamp},
                       {"step", metric.step}});
  body["params"] = pairs(batch.params);
  body["tags"] = pairs(batch.tags);
  TRY(server.post("runs/log-batch", body));
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
  auto flushed = queue->flush();
  std::lock_guard lock(ending);
  if (!joined && !ended)
    TRY(server.post("runs/update", {{"run_id", id}, {"status", status}, {"end_time", now_ms()}}));
  ended = true;
  return flushed;
}

static tidemill::Result<Json> find_or_create_run(Server& server, const Options& options) {
  std::string run_id = first_of(options.run_id, env("MLFLOW_RUN_ID"));
  return run_id.empty() ? create_run(server, options) : server.get("runs/get", "run_id", run_id);
}

Result<Run> Run::start(Options options) {
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
  state->queue =
      std::make_unique<LogQueue>([s = state.get()](const LogBatch& batch) { return s->send(batch); });
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
