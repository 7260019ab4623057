#include "api/endpoint.h"

#include "api/batch_reader.h"
#include "api/host_check.h"
#include "api/process_metrics.h"
#include "api/replies.h"
#include "api/request_log.h"
#include "api/routes.h"
#include "api/sender.h"
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

// Of a file behind the proxy, decoded.
std::optional<std::string> artifact_path(std::string_view path) {
  constexpr std::string_view kFiles = "artifacts/";
  auto rest = behind(path, kArtifacts);
  if (!rest || !rest->starts_with(kFiles)) return std::nullopt;
  return url_decode(rest->substr(kFiles.size()));
}

// Whether the body is announced as long, or with no length.
bool may_be_large(const Headers& headers) {
  constexpr size_t kMaxDigits = 5;  // 99 999 bytes
  std::string_view length = trim(headers.get("Content-Length"));
  return headers.has("Transfer-Encoding") || length.size() > kMaxDigits;
}

Reply json_replier(Respond respond) {
  return [respond = std::move(respond)](Result<std::string> body) {
    respond(body ? json_reply(std::move(*body)) : error_reply(body.error()));
  };
}

// The usual bodies of log-batch and log-metric, read without building a tree of them.
bool log_plainly(Service& service, LogCall log, const HttpRequest& request, const auth::Access* sender,
                 const Respond& respond) {
  if (!request.headers.get("Content-Type").starts_with("application/json")) return false;
  BatchBody batch;
  bool one = log == log_metric && read_plain_metric(request.body, batch);
  bool many = log == log_batch && read_plain_batch(request.body, batch);
  if (!one && !many) return false;
  if (sender) {
    if (!batch.batch.of_models.empty()) return false;
    auto allowed = check_run(service, *sender, batch.run_id, auth::Right::kEdit);
    if (!allowed) {
      respond(error_reply(allowed.error()));
      return true;
    }
  }
  using Call = tracking::Store::LogCall;
  service.store.log_later(
      {std::move(batch.run_id), std::move(batch.batch)}, many ? Call::kBatch : Call::kSingle,
      [respond](Result<> logged) { respond(logged ? json_reply("{}") : error_reply(logged.error())); });
  return true;
}

bool is_read(std::string_view method) { return method == "GET" || method == "HEAD"; }

const Route* find_route(const Service& service, std::string_view route) {
  auto found = tracking_routes().find(route);
  if (found != tracking_routes().end()) return &found->second;
  if (!service.login) return nullptr;
  found = user_routes().find(route);
  return found == user_routes().end() ? nullptr : &found->second;
}

void answer_file(Service& service, const HttpRequest& request, const Route& route, PathVariables variables,
                 const auth::Access* sender, const Respond& respond) {
  if (!is_read(request.method)) return respond(method_not_allowed());
  auto params = Params::of(request, std::move(variables), sender);
  if (!params) return respond(error_reply(params.error()));
  if (auto allowed = check_access(service, *params, route.file.rule); !allowed)
    return respond(error_reply(allowed.error()));
  auto response = route.file.call(service, request, *params);
  respond(response ? std::move(*response) : error_reply(response.error()));
}

void answer_route(Service& service, const HttpRequest& request, const Route& route, PathVariables variables,
                  const auth::Access* sender, const Respond& respond) {
  if (route.file) return answer_file(service, request, route, std::move(variables), sender, respond);
  Guarded<LogCall> log = request.method == "POST" ? route.log : Guarded<LogCall>();
  Guarded<Call> call = route.of(request.method);
  if (!call && !log) return respond(method_not_allowed());
  if (log && log_plainly(service, log.call, request, sender, respond)) return;
  auto params = Params::of(request, std::move(variables), sender);
  if (!params) return respond(error_reply(params.error()));
  if (auto allowed = check_access(service, *params, log ? log.rule : call.rule); !allowed)
    return respond(error_reply(allowed.error()));
  if (log) return log.call(service, *params, json_replier(respond));
  Result<std::string> body = call.call(service, *params);
  if (body && is_read(request.method)) return respond(tagged_reply(request, std::move(*body)));
  json_replier(respond)(std::move(body));
}

void answer_call(Service& service, const HttpRequest& request, std::string_view name,
                 const auth::Access* sender, const Respond& respond) {
  Address address = address_of(name);
  const Route* route = find_route(service, address.route);
  if (!route) return respond(no_such_page());
  if (!service.login || !user_routes().contains(address.route))
    return answer_route(service, request, *route, std::move(address.variables), sender, respond);
  answer_route(service, request, *route, std::move(address.variables), sender,
               [&service, &respond](HttpResponse response) {
                 service.login->look_again();
                 respond(std::move(response));
               });
}

void answer(Service& service, HttpRequest& request, const auth::Access* sender, const Respond& respond) {
  auto name = call_name(request.path);
  if (name) return answer_call(service, request, *name, sender, respond);
  auto page = page_routes().find(request.path);
  if (page != page_routes().end()) return answer_route(service, request, page->second, {}, sender, respond);
  auto file = behind(request.path, kArtifacts);
  Result<HttpResponse> response = file ? proxy_artifacts(service, request, *file, sender) : no_such_page();
  respond(response ? std::move(*response) : error_reply(response.error()));
}

constexpr std::string_view kMetricsPath = "/metrics";

bool is_probe(std::string_view path) { return path == "/health" || path == "/version"; }

// Clients ask it before they log in.
bool is_server_info(std::string_view path) { return call_name(path) == "server-info"; }

// Large bodies take long to parse.
constexpr size_t kMaxQuickBytes = 256 << 10;

bool is_quick(std::string_view path, size_t body_bytes) {
  if (body_bytes > kMaxQuickBytes) return false;
  if (is_probe(path)) return true;
  auto name = call_name(path);
  auto route = name ? tracking_routes().find(*name) : tracking_routes().end();
  return route != tracking_routes().end() && route->second.log;
}

// What a path is called in statistics: names that people make up are left out.
std::string_view route_label(std::string_view path) {
  if (behind(path, kArtifacts)) return "mlflow-artifacts";
  if (path == "/health") return "health";
  auto name = call_name(path);
  if (!name) {
    auto page = page_routes().find(path);
    return page == page_routes().end() ? "" : page->first.substr(1);
  }
  for (const Routes* table : {&tracking_routes(), &user_routes()})
    if (auto route = table->find(address_of(*name).route); route != table->end()) return route->first;
  return "";
}

std::string_view method_label(std::string_view method) {
  for (std::string_view known : {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
    if (method == known) return known;
  return "other";
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
                .any_place = is_loopback(from.host) && !from.default_permission},
        options(std::move(from)) {
    if (options.default_permission)
      service.login = std::make_unique<auth::Login>(store, *options.default_permission);
  }

  std::string_view local_path(const HttpRequest& request) const;
  std::optional<HttpResponse> refusal(const HttpRequest& request) const;
  void add_headers(HttpResponse& response, const std::string& origin) const;
  Respond observed(const HttpRequest& request, Respond respond);
  HttpResponse metrics() const;
  std::string server_info() const;
  bool is_known(const HttpRequest& request) const;
  bool may_upload(const HttpRequest& request);
  std::optional<HttpResponse> turn_away(const HttpRequest& request);
  void handle(HttpRequest request, const Respond& respond);
  void dispatch(HttpRequest& request, const auth::Access* sender, const Respond& respond);
  Result<> set_up_artifacts(HttpServerOptions& http);
  Result<> start();
};

// Without the prefix; "" when it has another one. Probes and Prometheus are answered with and without it.
std::string_view Endpoint::State::local_path(const HttpRequest& request) const {
  std::string_view path = request.path;
  const std::string& prefix = options.path_prefix;
  if (prefix.empty() || is_probe(path) || path == kMetricsPath) return path;
  if (!path.starts_with(prefix)) return {};
  path.remove_prefix(prefix.size());
  return path.starts_with('/') ? path : std::string_view();
}

std::optional<HttpResponse> Endpoint::State::refusal(const HttpRequest& request) const {
  if (is_probe(local_path(request))) return std::nullopt;
  if (!host_is_allowed(request.headers.get("Host"), options.allowed_hosts))
    return HttpResponse::text(403, "Invalid Host header - possible DNS rebinding attack detected");
  if (!is_read(request.method) && is_cross_origin(request.headers, options.cors_origins))
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
  answered.method_label = method_label(request.method);
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
    answered.status = response.status;
    if (const auto* text = std::get_if<std::string>(&response.body)) answered.bytes = text->size();
    if (const auto* file = std::get_if<FileBody>(&response.body)) answered.bytes = file->size;
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
  text += process_metrics();
  return HttpResponse::text(200, std::move(text), "text/plain; version=0.0.4; charset=utf-8");
}

std::string Endpoint::State::server_info() const {
  bool presigns = service.destination && service.destination->presigns();
  JsonWriter json;
  json.begin_object().field("store_type", "SqlStore").key("workspaces_enabled").boolean(false);
  json.key("multipart_uploads_enabled")
      .boolean(presigns)
      .key("multipart_downloads_enabled")
      .boolean(presigns);
  json.end_object();
  return json.take();
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
  if (!service.login || request.path == "/health" || is_server_info(request.path))
    return dispatch(request, nullptr, observer);
  using Fresh = auth::Login::Fresh;
  bool quick = is_quick(request.path, request.body.size());
  Sender sender = identify(*service.login, request, quick ? Fresh::kSecondOld : Fresh::kNow);
  if (!sender.access) return observer(std::move(sender.refusal));
  dispatch(request, sender.access.get(), observer);
}

void Endpoint::State::dispatch(HttpRequest& request, const auth::Access* sender, const Respond& respond) {
  if (request.path == "/health") return respond(HttpResponse::text(200, "OK", "text/html; charset=utf-8"));
  if (request.path == "/version")
    return respond(HttpResponse::text(200, TIDEMILL_VERSION, "text/html; charset=utf-8"));
  if (request.path == kMetricsPath && options.metrics == Metrics::kShown) return respond(metrics());
  if (options.serves == Serves::kArtifactsOnly && !behind(request.path, kArtifacts))
    return respond(HttpResponse::text(
        503,
        "This server runs with --artifacts-only: it serves artifacts, and nothing of the tracking store.\n"));
  if (is_server_info(request.path)) return respond(json_reply(server_info()));
  if (request.path == "/" && is_read(request.method)) return respond(front_page());
  answer(service, request, sender, respond);
}

// Whether finding out who sends it takes no time.
bool Endpoint::State::is_known(const HttpRequest& request) const {
  if (!service.login || request.path == "/health") return true;
  auto credentials = read_authorization(request.headers.get("Authorization"));
  return !credentials || service.login->is_quick(*credentials);
}

// Strangers must not fill the memory: asked before a large body is taken.
std::optional<HttpResponse> Endpoint::State::turn_away(const HttpRequest& request) {
  if (!may_be_large(request.headers)) return std::nullopt;
  Sender sender = identify(*service.login, request, auth::Login::Fresh::kNow);
  if (!sender.access) return std::move(sender.refusal);
  auto file = artifact_path(local_path(request));
  if (!file || request.method != "PUT") return std::nullopt;
  auto allowed = check_artifact(*sender.access, *file, auth::Right::kEdit);
  return allowed ? std::nullopt : std::optional(error_reply(allowed.error()));
}

// Nor the disk.
bool Endpoint::State::may_upload(const HttpRequest& request) {
  if (!service.login) return true;
  auto path = artifact_path(local_path(request));
  Sender sender = identify(*service.login, request, auth::Login::Fresh::kNow);
  return path && sender.access && check_artifact(*sender.access, *path, auth::Right::kEdit);
}

Result<> Endpoint::State::set_up_artifacts(HttpServerOptions& http) {
  service.destination = TRY(artifacts::open_repository(options.artifacts_destination));
  http.spool_dir = TRY(service.destination->incoming());
  remove_forgotten_uploads(http.spool_dir);
  http.spool_body = [this](const HttpRequest& request) {
    return request.method == "PUT" && behind(local_path(request), kArtifacts) && !refusal(request) &&
           may_upload(request);
  };
  service.readable_roots.push_back(options.artifacts_destination);
  if (auto folder = artifacts::local_folder(options.artifacts_destination);
      folder && options.tells_proxied_uris)
    service.told_as_proxied = fs::absolute(*folder).lexically_normal().string();
  return {};
}

Result<> Endpoint::State::start() {
  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.threads = kThreads;
  http.max_body_bytes = kMaxBodyBytes;
  http.is_quick = [this](const HttpRequest& request) {
    return is_quick(local_path(request), request.body.size()) && is_known(request);
  };
  if (service.login) http.turn_away = [this](const HttpRequest& request) { return turn_away(request); };
  http.settle = [this] { return service.store.settle(); };
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
void Endpoint::stop(std::chrono::milliseconds grace) {
  state_->service.events.stop();
  state_->server->stop(grace);
}

}  // namespace tidemill::api
