#include "api/endpoint.h"

#include <unordered_map>

#include "api/batch_reader.h"
#include "api/host_check.h"
#include "api/replies.h"
#include "api/request_log.h"
#include "api/service.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http_server.h"
#include "net/tls_session.h"

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
      {"experiments/delete-experiment-tag", {.post = delete_experiment_tag}},
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

// The usual bodies of log-batch and log-metric, read without building a tree of them.
bool log_plainly(Service& service, LogCall log, const HttpRequest& request, const Respond& respond) {
  if (!request.headers.get("Content-Type").starts_with("application/json")) return false;
  BatchBody batch;
  bool one = log == log_metric && read_plain_metric(request.body, batch);
  bool many = log == log_batch && read_plain_batch(request.body, batch);
  if (!one && !many) return false;
  using Call = tracking::Store::LogCall;
  service.store.log_later(
      {std::move(batch.run_id), std::move(batch.batch)}, many ? Call::kBatch : Call::kSingle,
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
  if (log && log_plainly(service, log, request, respond)) return;
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

bool is_quick(std::string_view path, size_t body_bytes) {
  if (body_bytes > kMaxQuickBytes) return false;
  if (is_probe(path)) return true;
  auto name = call_name(path);
  auto route = name ? routes().find(*name) : routes().end();
  return route != routes().end() && route->second.log;
}

// What a path is called in statistics: names that people make up are left out.
std::string_view route_label(std::string_view path) {
  if (behind(path, kArtifacts)) return "mlflow-artifacts";
  if (path == "/health") return "health";
  auto name = call_name(path);
  auto route = name ? routes().find(address_of(*name).route) : routes().end();
  return route == routes().end() ? "" : route->first;
}

void add_preflight_answer(HttpResponse& response) {
  response.headers.add("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
  response.headers.add("Access-Control-Allow-Headers", "Authorization, Content-Type");
  response.headers.add("Access-Control-Max-Age", "600");
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

}  // namespace

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

struct Endpoint::State {
  Service service;
  EndpointOptions options;
  std::optional<RequestLog> log;
  std::optional<HttpServer> server;

  State(tracking::Store& store, EndpointOptions from)
      : service{.store = store,
                .destination = {},
                .readable_roots = from.readable_roots,
                .any_local_folder = is_loopback(from.host)},
        options(std::move(from)) {}

  std::string_view local_path(const HttpRequest& request) const;
  std::optional<HttpResponse> refusal(const HttpRequest& request) const;
  void add_headers(HttpResponse& response, const std::string& origin) const;
  Respond observed(const HttpRequest& request, Respond respond);
  HttpResponse metrics() const;
  void handle(HttpRequest request, const Respond& respond);
  void dispatch(HttpRequest& request, const Respond& respond);
  Result<> set_up_artifacts(HttpServerOptions& http);
  Result<> start();
};

// Without the prefix; "" when it has another one. Probes are answered with and without it.
std::string_view Endpoint::State::local_path(const HttpRequest& request) const {
  std::string_view path = request.path;
  const std::string& prefix = options.path_prefix;
  if (prefix.empty() || is_probe(path)) return path;
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  return path.starts_with('/') ? path : std::string_view();
}

std::optional<HttpResponse> Endpoint::State::refusal(const HttpRequest& request) const {
  if (is_probe(local_path(request))) return std::nullopt;
  if (!host_is_allowed(request.headers.get("Host"), options.allowed_hosts))
    return HttpResponse::text(403, "Invalid Host header - possible DNS rebinding attack detected");
  bool changes = request.method != "GET" && request.method != "HEAD";
  if (changes && is_cross_origin(request.headers, options.cors_origins))
    return HttpResponse::text(403, "Cross-origin request blocked");
  return std::nullopt;
}

void Endpoint::State::add_headers(HttpResponse& response, const std::string& origin) const {
  response.headers.add("X-Content-Type-Options", "nosniff");
  if (!options.x_frame_options.empty()) response.headers.add("X-Frame-Options", options.x_frame_options);
  if (origin.empty()) return;
  response.headers.add("Access-Control-Allow-Origin", origin);
  response.headers.add("Access-Control-Allow-Credentials", "true");
  response.headers.add("Vary", "Origin");
}

// Counts the answer, and adds what all answers have.
Respond Endpoint::State::observed(const HttpRequest& request, Respond respond) {
  Answered answered;
  answered.route = route_label(local_path(request));
  if (log->writes_lines()) {
    answered.method = request.method;
    answered.path = request.path;
    answered.peer = request.peer;
  }
  std::string origin(request.headers.get("Origin"));
  if (!origin.empty() && is_cross_origin(request.headers, options.cors_origins)) origin.clear();
  return [this, answered = std::move(answered), origin = std::move(origin), respond = std::move(respond),
          start = std::chrono::steady_clock::now()](HttpResponse response) mutable {
    if (response.status >= 500) log_warning("{} answered {}", answered.route, response.status);
    add_headers(response, origin);
    const auto* text = std::get_if<std::string>(&response.body);
    answered.status = response.status;
    answered.bytes = text ? text->size() : std::get<FileBody>(response.body).size;
    answered.time = std::chrono::steady_clock::now() - start;
    log->add(answered);
    respond(std::move(response));
  };
}

HttpResponse Endpoint::State::metrics() const {
  tracking::Store::Written written = service.store.written();
  std::string text = log->print();
  fmt::format_to(std::back_inserter(text),
                 "# TYPE tidemill_store_commits_total counter\ntidemill_store_commits_total {}\n"
                 "# TYPE tidemill_store_calls_total counter\ntidemill_store_calls_total {}\n"
                 "# TYPE tidemill_store_points_total counter\ntidemill_store_points_total {}\n",
                 written.commits, written.calls, written.points);
  return HttpResponse::text(200, std::move(text), "text/plain; version=0.0.4; charset=utf-8");
}

void Endpoint::State::handle(HttpRequest request, const Respond& respond) {
  Respond observer = observed(request, respond);
  if (auto refused = refusal(request)) return observer(std::move(*refused));
  if (request.method == "OPTIONS" && request.headers.has("Origin")) {
    HttpResponse response = HttpResponse::text(204, "");
    add_preflight_answer(response);
    return observer(std::move(response));
  }
  request.path = local_path(request);
  dispatch(request, observer);
}

void Endpoint::State::dispatch(HttpRequest& request, const Respond& respond) {
  if (request.path == "/health") return respond(HttpResponse::text(200, "OK", "text/html; charset=utf-8"));
  if (request.path == "/version")
    return respond(HttpResponse::text(200, TIDEMILL_VERSION, "text/html; charset=utf-8"));
  if (request.path == "/metrics" && options.metrics == Metrics::kShown) return respond(metrics());
  if (options.serves == Serves::kArtifactsOnly && !behind(request.path, kArtifacts))
    return respond(HttpResponse::text(
        503,
        "This server runs with --artifacts-only: it serves artifacts, and nothing of the tracking store.\n"));
  answer(service, request, respond);
}

Result<> Endpoint::State::set_up_artifacts(HttpServerOptions& http) {
  service.destination.emplace(options.artifacts_destination);
  http.spool_dir = TRY(service.destination->incoming());
  remove_forgotten_uploads(http.spool_dir);
  http.spool_body = [this](const HttpRequest& request) {
    return request.method == "PUT" && behind(local_path(request), kArtifacts) && !refusal(request);
  };
  service.readable_roots.push_back(options.artifacts_destination);
  return {};
}

Result<> Endpoint::State::start() {
  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.threads = kThreads;
  http.max_body_bytes = kMaxBodyBytes;
  http.is_quick = [this](const HttpRequest& request) {
    return is_quick(local_path(request), request.body.size());
  };
  http.settle = [this] { service.store.settle(); };
  if (!options.tls_certificate.empty())
    http.tls = TRY(TlsContext::for_server(options.tls_certificate, options.tls_key));
  if (!options.artifacts_destination.empty()) TRY(set_up_artifacts(http));
  log.emplace(TRY(RequestLog::open(options.access_log)));
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
