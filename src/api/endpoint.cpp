#include "api/endpoint.h"

#include <unordered_map>

#include "api/batch_reader.h"
#include "api/host_check.h"
#include "api/replies.h"
#include "api/service.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http_server.h"

namespace tidemill::api {
namespace {

// Calls that wait for the disk do so together: the more of them can wait at a time, the more share one flush.
constexpr int kThreads = 32;
constexpr uint64_t kMaxBodyBytes = 64u << 20;
constexpr std::chrono::hours kForgottenAfter{24};

// One address with a call for each method that it takes.
struct Route {
  Call get = nullptr;
  Call post = nullptr;
  Call patch = nullptr;
  Call remove = nullptr;
  LogCall log = nullptr;  // for POST, instead of post

  Call of(std::string_view method) const {
    if (method == "GET") return get;
    if (method == "POST") return post;
    if (method == "PATCH") return patch;
    return method == "DELETE" ? remove : nullptr;
  }
};

// "*" stands for a part that names a thing (path_variables).
const std::unordered_map<std::string_view, Route>& routes() {
  static const std::unordered_map<std::string_view, Route> table = {
      {"experiments/create", {.post = create_experiment}},
      {"experiments/get", {.get = get_experiment}},
      {"experiments/get-by-name", {.get = get_experiment_by_name}},
      {"experiments/search", {.get = search_experiments, .post = search_experiments}},
      {"experiments/search-datasets", {.post = search_datasets}},
      {"experiments/update", {.post = update_experiment}},
      {"experiments/delete", {.post = delete_experiment}},
      {"experiments/restore", {.post = restore_experiment}},
      {"experiments/set-experiment-tag", {.post = set_experiment_tag}},
      {"runs/create", {.log = create_run}},
      {"runs/get", {.get = get_run}},
      {"runs/update", {.post = update_run}},
      {"runs/delete", {.post = delete_run}},
      {"runs/restore", {.post = restore_run}},
      {"runs/search", {.post = search_runs}},
      {"runs/log-metric", {.log = log_metric}},
      {"runs/log-parameter", {.log = log_parameter}},
      {"runs/log-batch", {.log = log_batch}},
      {"runs/log-model", {.post = log_model}},
      {"runs/log-inputs", {.post = log_inputs}},
      {"runs/outputs", {.post = log_outputs}},
      {"runs/set-tag", {.log = set_tag}},
      {"runs/delete-tag", {.post = delete_tag}},
      {"metrics/get-history", {.get = metric_history}},
      {"metrics/get-history-bulk", {.get = metric_histories}},
      {"metrics/get-history-bulk-interval", {.get = sampled_metric_histories}},
      {"artifacts/list", {.get = list_artifacts}},
      {"logged-models", {.post = create_logged_model}},
      {"logged-models/search", {.post = search_logged_models}},
      {"logged-models/*",
       {.get = get_logged_model, .patch = finalize_logged_model, .remove = delete_logged_model}},
      {"logged-models/*/tags", {.patch = set_logged_model_tags}},
      {"logged-models/*/tags/*", {.remove = delete_logged_model_tag}},
      {"logged-models/*/params", {.post = log_logged_model_params}},
      {"logged-models/*/artifacts/directories", {.get = list_logged_model_artifacts}},
      {"registered-models/create", {.post = create_registered_model}},
      {"registered-models/get", {.get = get_registered_model}},
      {"registered-models/rename", {.post = rename_registered_model}},
      {"registered-models/update", {.patch = update_registered_model}},
      {"registered-models/delete", {.remove = delete_registered_model}},
      {"registered-models/search", {.get = search_registered_models}},
      {"registered-models/get-latest-versions", {.get = get_latest_versions, .post = get_latest_versions}},
      {"registered-models/set-tag", {.post = set_registered_model_tag}},
      {"registered-models/delete-tag", {.remove = delete_registered_model_tag}},
      {"registered-models/alias",
       {.get = get_model_version_by_alias,
        .post = set_registered_model_alias,
        .remove = delete_registered_model_alias}},
      {"model-versions/create", {.post = create_model_version}},
      {"model-versions/get", {.get = get_model_version}},
      {"model-versions/update", {.patch = update_model_version}},
      {"model-versions/delete", {.remove = delete_model_version}},
      {"model-versions/search", {.get = search_model_versions}},
      {"model-versions/transition-stage", {.post = transition_stage}},
      {"model-versions/get-download-uri", {.get = get_download_uri}},
      {"model-versions/set-tag", {.post = set_model_version_tag}},
      {"model-versions/delete-tag", {.remove = delete_model_version_tag}},
  };
  return table;
}

struct Address {
  std::string route;
  PathVariables variables;
};

// Takes the model and the tag out of an address below logged-models/.
Address address_of(std::string_view name) {
  constexpr std::string_view kModels = "logged-models/";
  constexpr std::string_view kTags = "/tags/";
  if (!name.starts_with(kModels) || name == "logged-models/search") return {std::string(name), {}};
  std::string_view id = name.substr(kModels.size());
  std::string_view rest = id.substr(std::min(id.find('/'), id.size()));
  id.remove_suffix(rest.size());
  Address address{.route = "logged-models/*", .variables = {{"model_id", url_decode(id)}}};
  if (rest.size() > kTags.size() && rest.starts_with(kTags)) {
    address.variables.emplace_back("tag_key", url_decode(rest.substr(kTags.size())));
    rest = "/tags/*";
  }
  address.route += rest;
  return address;
}

// The rest of the path behind /api/<version>/<family>, or behind the same under /ajax-api.
std::optional<std::string_view> behind(std::string_view path, std::string_view version_and_family) {
  for (std::string_view root : {"/api/", "/ajax-api/"}) {
    if (!path.starts_with(root)) continue;
    path.remove_prefix(root.size());
    if (!path.starts_with(version_and_family)) return std::nullopt;
    return path.substr(version_and_family.size());
  }
  return std::nullopt;
}

constexpr std::string_view kTracking = "2.0/mlflow/";
constexpr std::string_view kTracking3 = "3.0/mlflow/";
constexpr std::string_view kArtifacts = "2.0/mlflow-artifacts/";

// The name of the tracking call that a path stands for.
std::optional<std::string_view> call_name(std::string_view path) {
  auto name = behind(path, kTracking);
  return name ? name : behind(path, kTracking3);
}

Reply json_replier(Respond respond) {
  return [respond = std::move(respond)](Result<std::string> body) {
    respond(body ? json_reply(std::move(*body)) : error_reply(body.error()));
  };
}

// The usual body of log-batch, read without building a tree of it.
bool log_plain_batch(Service& service, const HttpRequest& request, const Respond& respond) {
  BatchBody batch;
  if (!request.headers.get("Content-Type").starts_with("application/json")) return false;
  if (!read_plain_batch(request.body, batch)) return false;
  service.store.log_later(
      {std::move(batch.run_id), std::move(batch.batch)}, tracking::Store::LogCall::kBatch,
      [respond](Result<> logged) { respond(logged ? json_reply("{}") : error_reply(logged.error())); });
  return true;
}

void answer_call(Service& service, const HttpRequest& request, std::string_view name,
                 const Respond& respond) {
  Address address = address_of(name);
  auto route = routes().find(address.route);
  if (route == routes().end()) return respond(no_such_page());
  LogCall log = request.method == "POST" ? route->second.log : nullptr;
  Call call = route->second.of(request.method);
  if (!call && !log) return respond(method_not_allowed());
  if (log == log_batch && log_plain_batch(service, request, respond)) return;
  auto params = Params::of(request, std::move(address.variables));
  if (!params) return respond(error_reply(params.error()));
  if (log) return log(service, *params, json_replier(respond));
  json_replier(respond)(call(service, *params));
}

bool is_model_file(std::string_view name) {
  return name.starts_with("logged-models/") && name.ends_with("/artifacts/files");
}

void answer(Service& service, HttpRequest& request, const Respond& respond) {
  std::string_view path = request.path;
  auto name = call_name(path);
  if (name == "server-info")
    return respond(json_reply(R"({"store_type":"SqlStore","workspaces_enabled":false})"));
  if (name && !is_model_file(*name)) return answer_call(service, request, *name, respond);
  Result<HttpResponse> response = no_such_page();
  if (name) response = get_logged_model_file(service, request, address_of(*name).variables);
  if (auto file = behind(path, kArtifacts)) response = proxy_artifacts(service, request, *file);
  if (path == "/get-artifact" && request.method == "GET") response = get_artifact(service, request);
  if (path == "/model-versions/get-artifact" && request.method == "GET")
    response = get_model_version_artifact(service, request);
  respond(response ? std::move(*response) : error_reply(response.error()));
}

bool is_probe(std::string_view path) { return path == "/health" || path == "/version"; }

// Large bodies take long to parse.
constexpr size_t kMaxQuickBytes = 256 << 10;

bool is_quick(const HttpRequest& request) {
  if (request.body.size() > kMaxQuickBytes) return false;
  if (is_probe(request.path)) return true;
  auto name = call_name(request.path);
  auto route = name ? routes().find(*name) : routes().end();
  return route != routes().end() && route->second.log;
}

// Uploads that were cut off by the end of a process.
void remove_forgotten_uploads(const fs::path& folder) {
  std::error_code error;
  auto now = fs::file_time_type::clock::now();
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    bool is_old = now - entry.last_write_time(error) > kForgottenAfter;
    if (!error && is_old) fs::remove(entry.path(), error);
  }
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace

struct Endpoint::State {
  Service service;
  EndpointOptions options;
  std::optional<HttpServer> server;

  State(tracking::Store& store, EndpointOptions from)
      : service{.store = store,
                .destination = {},
                .readable_roots = from.readable_roots,
                .any_local_folder = is_loopback(from.host)},
        options(std::move(from)) {}

  std::optional<HttpResponse> refusal(const HttpRequest& request) const;
  void handle(HttpRequest request, const Respond& respond);
  Result<> start();
};

std::optional<HttpResponse> Endpoint::State::refusal(const HttpRequest& request) const {
  if (is_probe(request.path)) return std::nullopt;
  if (!host_is_allowed(request.headers.get("Host"), options.allowed_hosts))
    return HttpResponse::text(403, "Invalid Host header - possible DNS rebinding attack detected");
  if (request.method != "GET" && request.method != "HEAD" && is_cross_origin(request.headers))
    return HttpResponse::text(403, "Cross-origin request blocked");
  return std::nullopt;
}

void Endpoint::State::handle(HttpRequest request, const Respond& respond) {
  if (auto refused = refusal(request)) return respond(std::move(*refused));
  if (request.path == "/health") return respond(HttpResponse::text(200, "OK", "text/html; charset=utf-8"));
  if (request.path == "/version")
    return respond(HttpResponse::text(200, TIDEMILL_VERSION, "text/html; charset=utf-8"));
  answer(service, request, [respond, what = request.method + " " + request.path](HttpResponse response) {
    if (response.status >= 500) log_warning("{} answered {}", what, response.status);
    respond(std::move(response));
  });
}

Result<> Endpoint::State::start() {
  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.threads = kThreads;
  http.max_body_bytes = kMaxBodyBytes;
  http.is_quick = is_quick;
  http.settle = [this] { service.store.settle(); };
  if (!options.artifacts_destination.empty()) {
    service.destination.emplace(options.artifacts_destination);
    http.spool_dir = TRY(service.destination->incoming());
    remove_forgotten_uploads(http.spool_dir);
    http.spool_body = [this](const HttpRequest& request) {
      return request.method == "PUT" && behind(request.path, kArtifacts) && !refusal(request);
    };
    service.readable_roots.push_back(options.artifacts_destination);
  }
  server.emplace(TRY(HttpServer::start(std::move(http), [this](HttpRequest request, const Respond& respond) {
    handle(std::move(request), respond);
  })));
  return {};
}

Endpoint::Endpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Endpoint::Endpoint(Endpoint&&) noexcept = default;
Endpoint& Endpoint::operator=(Endpoint&&) noexcept = default;
Endpoint::~Endpoint() = default;

Result<Endpoint> Endpoint::start(tracking::Store& store, EndpointOptions options) {
  auto state = std::make_unique<State>(store, std::move(options));
  TRY(state->start());
  return Endpoint(std::move(state));
}

uint16_t Endpoint::port() const { return state_->server->port(); }
std::string Endpoint::url() const { return state_->server->url(); }
void Endpoint::stop(std::chrono::milliseconds grace) { state_->server->stop(grace); }

}  // namespace tidemill::api
