// tidemill server: the tracking endpoint on a port, until it is told to stop.
#include <netdb.h>
#include <poll.h>

#include <CLI/CLI.hpp>

#include "api/endpoint.h"
#include "artifacts/folder_repository.h"
#include "auth/users.h"
#include "base/base64.h"
#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/commands.h"
#include "sys/signals.h"

namespace tidemill::cli {
namespace {

constexpr std::chrono::seconds kGrace{10};

struct ServerFlags {
  std::string registry_store_uri, default_artifact_root, artifacts_destination;
  bool serve_artifacts = true, artifacts_only = false;
  std::string host = "127.0.0.1";
  uint16_t port = 5000;
  bool auth = false, no_auth = false, behind_tls_proxy = false;
  std::string default_permission = "READ";
  std::string app_name;
  std::string allowed_hosts, cors_allowed_origins;
  std::string x_frame_options = "SAMEORIGIN";
  std::string static_prefix;
  std::string expose_prometheus, access_log;
  std::string ssl_cert, ssl_key;
  bool disable_security = false;
  // Accepted, because start scripts have them.
  int workers = 0;
  std::string gunicorn_options, uvicorn_options, waitress_options, read_replica;
  bool development = false;
};

std::vector<std::string> list_of(const std::string& list) {
  std::vector<std::string> hosts;
  for (const std::string& host : split(list, ','))
    if (std::string_view name = trim(host); !name.empty()) hosts.emplace_back(name);
  return hosts;
}

void wait_for_signal() {
  if (interrupt_fd() < 0) catch_interrupts();
  pollfd entry{interrupt_fd(), POLLIN, 0};
  while (!interrupted()) ::poll(&entry, 1, -1);
}

Result<> check_host(const std::string& host) {
  addrinfo* found = nullptr;
  int problem = getaddrinfo(host.c_str(), nullptr, nullptr, &found);
  if (problem != 0)
    return fail(Code::kInvalid, "--host {}: there is no such host ({})", host, gai_strerror(problem));
  freeaddrinfo(found);
  return {};
}

// Who can reach this server, and what they could do or overhear.
Result<> check_openness(const ServerFlags& flags) {
  if (flags.auth && flags.no_auth) return fail(Code::kInvalid, "--auth and --no-auth exclude each other");
  if (!flags.app_name.empty() && flags.app_name != "basic-auth")
    return fail(Code::kInvalid, "--app-name '{}': there is only basic-auth, which is --auth", flags.app_name);
  if (api::is_loopback(flags.host)) return {};
  TRY(check_host(flags.host));
  if (!flags.auth && !flags.no_auth)
    return fail(Code::kInvalid,
                "--host {}: everybody who reaches this address could read, change and delete all runs; add "
                "--auth, so "
                "that people have to log in, or --no-auth if this is what you want",
                flags.host);
  if (flags.auth && flags.ssl_cert.empty() && !flags.behind_tls_proxy)
    return fail(Code::kInvalid,
                "--host {}: passwords would cross the network readable; add --ssl-cert and --ssl-key, or "
                "--behind-tls-proxy when what is in front of this server speaks TLS",
                flags.host);
  return {};
}

// What MLflow's own HTTP servers were told. Nothing of it is needed here, but the service must not go on
// without the encryption that was asked for.
Result<> check_server_options(const ServerFlags& flags) {
  const std::pair<const char*, const std::string*> all[] = {{"--gunicorn-opts", &flags.gunicorn_options},
                                                            {"--uvicorn-opts", &flags.uvicorn_options},
                                                            {"--waitress-opts", &flags.waitress_options}};
  for (const auto& [name, value] : all) {
    bool encrypts = value->find("certfile") != std::string::npos || value->find("ssl") != std::string::npos;
    if (encrypts && flags.ssl_cert.empty())
      return fail(Code::kInvalid, "{} asks for TLS: give --ssl-cert and --ssl-key instead", name);
    if (!value->empty()) log_warning("{} has no effect: this server needs no such options", name);
  }
  if (!flags.read_replica.empty())
    log_warning(
        "--read-replica-backend-store-uri has no effect: everything is read from --backend-store-uri");
  return {};
}

// Flags that do not go together, or ask for what is not there.
Result<> check(const ServerFlags& flags, const std::string& store) {
  if (!flags.registry_store_uri.empty() && flags.registry_store_uri != store)
    return fail(
        Code::kInvalid,
        "--registry-store-uri '{}': models are registered in the same store as runs; leave it out, or give "
        "the value of --backend-store-uri",
        db::without_secrets(flags.registry_store_uri));
  if (flags.artifacts_only && !flags.serve_artifacts)
    return fail(Code::kInvalid, "--artifacts-only and --no-serve-artifacts leave nothing to serve");
  if (flags.ssl_cert.empty() != flags.ssl_key.empty())
    return fail(Code::kInvalid, "--ssl-cert and --ssl-key belong together");
  const std::string& prefix = flags.static_prefix;
  if (!prefix.empty() && (!prefix.starts_with('/') || prefix.ends_with('/')))
    return fail(Code::kInvalid, "--static-prefix '{}': it starts with '/' and does not end with '/'", prefix);
  TRY(check_server_options(flags));
  return check_openness(flags);
}

// The first administrator of a store that has no users. The password comes from the environment, as in
// MLflow, or is made up and shown once: there is none that others know.
Result<> ensure_admin(tracking::Store& store) {
  auth::Users users(store);
  if (!TRY(users.list()).empty()) return {};
  const char* name = std::getenv("MLFLOW_AUTH_ADMIN_USERNAME");
  const char* given = std::getenv("MLFLOW_AUTH_ADMIN_PASSWORD");
  std::string admin = name && *name ? name : "admin";
  std::string password = given ? given : base64url_encode(random_bytes(15));
  auto made = users.create(admin, password, auth::Admin::kYes);
  if (!made && made.error().code == Code::kConflict) return {};  // another server has just done it
  if (!made)
    return fail(made.error().code, "the first administrator '{}' cannot be made{}: {}", admin,
                given ? " with MLFLOW_AUTH_ADMIN_PASSWORD" : "", made.error().message);
  if (!given)
    fmt::print(stderr,
               "tidemill: made the administrator '{0}' with the password {1}\n"
               "          It is shown this once. Change it: tidemill users password {0}\n",
               admin, password);
  return {};
}

api::EndpointOptions options_of(const ServerFlags& flags) {
  api::EndpointOptions options;
  options.host = flags.host;
  options.port = flags.port;
  options.allowed_hosts = list_of(flags.allowed_hosts);
  options.cors_origins = list_of(flags.cors_allowed_origins);
  options.x_frame_options = flags.x_frame_options == "NONE" ? "" : flags.x_frame_options;
  if (flags.disable_security) {
    options.allowed_hosts = options.cors_origins = {"*"};
    options.x_frame_options = "";
  }
  options.path_prefix = flags.static_prefix;
  if (flags.artifacts_only) options.serves = api::Serves::kArtifactsOnly;
  if (!flags.expose_prometheus.empty()) options.metrics = api::Metrics::kShown;
  options.access_log = flags.access_log;
  options.tls_certificate = flags.ssl_cert;
  options.tls_key = flags.ssl_key;
  return options;
}

Result<int> serve(const Context& context, ServerFlags flags) {
  flags.auth = flags.auth || !flags.app_name.empty();
  TRY(check(flags, context.store));
  std::string destination = flags.artifacts_destination;
  if (destination.empty()) destination = TRY(context.artifact_root()).string();
  std::string root = flags.default_artifact_root;
  if (root.empty()) root = flags.serve_artifacts ? "mlflow-artifacts:" : destination;
  auto store = TRY(context.open_store({.uri = context.store, .default_artifact_root = root}));

  api::EndpointOptions options = options_of(flags);
  if (flags.auth) {
    options.default_permission = TRY(auth::parse_permission(flags.default_permission));
    TRY(ensure_admin(store));
  }
  if (flags.serve_artifacts) options.artifacts_destination = destination;
  options.tells_proxied_uris = flags.default_artifact_root.empty();
  if (auto folder = artifacts::local_folder(root)) options.readable_roots.push_back(folder->string());
  if (artifacts::is_s3(root)) options.readable_roots.push_back(root);
  auto endpoint = TRY(api::Endpoint::start(store, std::move(options)));
  if (flags.disable_security)
    log_warning("--disable-security-middleware: any web page that you visit can change and delete runs here");
  if (flags.no_auth && !api::is_loopback(flags.host))
    log_warning("--no-auth: everybody who reaches {} can read, change and delete all runs", endpoint.url());
  TRY(print(fmt::format("Tracking server at {}{}, store {}, artifacts in {}\n", endpoint.url(),
                        flags.static_prefix, TRY(context.location()).name(), destination)));
  wait_for_signal();
  endpoint.stop(kGrace);
  return 0;
}

void add_storage_flags(CLI::App& command, ServerFlags& flags) {
  command
      .add_option("--registry-store-uri", flags.registry_store_uri,
                  "Accepted when it is the same as --backend-store-uri: there is one store")
      ->envname("MLFLOW_REGISTRY_STORE_URI");
  command
      .add_option("--default-artifact-root", flags.default_artifact_root,
                  "Where new experiments keep artifacts (default: mlflow-artifacts:/, through this server)")
      ->envname("MLFLOW_DEFAULT_ARTIFACT_ROOT");
  command
      .add_option("--artifacts-destination", flags.artifacts_destination,
                  "The folder behind mlflow-artifacts:/ (default: mlartifacts beside the store), or "
                  "s3://bucket/prefix")
      ->envname("MLFLOW_ARTIFACTS_DESTINATION");
  command
      .add_flag("--serve-artifacts,!--no-serve-artifacts", flags.serve_artifacts,
                "Let clients store artifacts through this server (default)")
      ->envname("MLFLOW_SERVE_ARTIFACTS");
  command.add_flag("--artifacts-only", flags.artifacts_only, "Serve artifacts and nothing else")
      ->envname("MLFLOW_ARTIFACTS_ONLY");
}

void add_login_flags(CLI::App& command, ServerFlags& flags) {
  command.add_flag("--auth", flags.auth, "People have to log in; see `tidemill users`")
      ->envname("TIDEMILL_AUTH");
  command.add_option("--app-name", flags.app_name, "basic-auth: MLflow's word for --auth")
      ->envname("MLFLOW_APP_NAME");
  command
      .add_option("--default-permission", flags.default_permission,
                  "With --auth: what everybody may do where nothing is granted")
      ->check(CLI::IsMember({"NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"}))
      ->envname("TIDEMILL_DEFAULT_PERMISSION")
      ->capture_default_str();
  command.add_flag("--behind-tls-proxy", flags.behind_tls_proxy,
                   "With --auth: listen without TLS on other addresses, because a proxy in front speaks it");
}

void add_network_flags(CLI::App& command, ServerFlags& flags) {
  command
      .add_option("-H,--host", flags.host, "Address to listen on; 0.0.0.0 for all, with --auth or --no-auth")
      ->envname("MLFLOW_HOST")
      ->capture_default_str();
  command.add_option("-p,--port", flags.port, "Port to listen on; 0 for any free one")
      ->envname("MLFLOW_PORT")
      ->capture_default_str();
  command.add_flag("--no-auth", flags.no_auth,
                   "Listen on other addresses than this machine's own although nobody has to log in");
  add_login_flags(command, flags);
  command
      .add_option("--allowed-hosts", flags.allowed_hosts,
                  "Host names under which it may be reached, beside localhost and addresses; "
                  "comma-separated, * as wildcard")
      ->envname("MLFLOW_SERVER_ALLOWED_HOSTS");
  command
      .add_option("--cors-allowed-origins", flags.cors_allowed_origins,
                  "Web pages that may use it from a browser: https://app.example.org; comma-separated, * as "
                  "wildcard")
      ->envname("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS");
  command
      .add_option("--x-frame-options", flags.x_frame_options, "SAMEORIGIN, DENY, or NONE for no such header")
      ->transform(CLI::IsMember({"SAMEORIGIN", "DENY", "NONE"}, CLI::ignore_case))
      ->envname("MLFLOW_SERVER_X_FRAME_OPTIONS")
      ->capture_default_str();
  command
      .add_flag("--disable-security-middleware", flags.disable_security,
                "Dangerous, for tests: any Host, any web page, any frame")
      ->envname("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE");
  command.add_option("--static-prefix", flags.static_prefix, "In front of all paths: /mlflow")
      ->envname("MLFLOW_STATIC_PREFIX");
  command.add_option("--ssl-cert", flags.ssl_cert, "Serve https with this certificate (chain), PEM");
  command.add_option("--ssl-key", flags.ssl_key, "The certificate's private key, PEM");
}

void add_operation_flags(CLI::App& command, ServerFlags& flags) {
  command
      .add_option("--expose-prometheus", flags.expose_prometheus,
                  "Serve /metrics for Prometheus. MLflow wants a folder here; any word will do")
      ->envname("MLFLOW_EXPOSE_PROMETHEUS");
  command.add_option("--access-log", flags.access_log,
                     "Append a line of JSON for each request to this file; - for stderr");
  command.add_option("-w,--workers", flags.workers, "Accepted, without effect: one process serves all")
      ->envname("MLFLOW_WORKERS");
  for (auto [name, variable, value] :
       {std::tuple{"--gunicorn-opts", "MLFLOW_GUNICORN_OPTS", &flags.gunicorn_options},
        std::tuple{"--uvicorn-opts", "MLFLOW_UVICORN_OPTS", &flags.uvicorn_options},
        std::tuple{"--waitress-opts", "", &flags.waitress_options}})
    command.add_option(name, *value, "Accepted, without effect")->envname(variable);
  command.add_option("--read-replica-backend-store-uri", flags.read_replica, "Accepted, without effect")
      ->envname("MLFLOW_READ_REPLICA_BACKEND_STORE_URI");
  command.add_flag("--dev", flags.development, "Accepted, without effect");
}

}  // namespace

void add_server(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("server", "Serve the tracking store to MLflow clients");
  auto flags = std::make_shared<ServerFlags>();
  command->alias("ui");
  add_storage_flags(*command, *flags);
  add_network_flags(*command, *flags);
  add_operation_flags(*command, *flags);
  command->footer(
      "Examples:\n"
      "  tidemill server\n"
      "  tidemill server --backend-store-uri postgresql://mlflow@db.example.org/mlflow\n"
      "  tidemill server --auth --host 0.0.0.0 --ssl-cert cert.pem --ssl-key key.pem\n"
      "  tidemill server --host 0.0.0.0 --no-auth --allowed-hosts 'mlflow.example.org'\n"
      "  tidemill server --ssl-cert cert.pem --ssl-key key.pem --access-log access.jsonl\n"
      "  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python train.py");
  add_common_options(*command, context);
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return serve(context, *flags); }; });
}

}  // namespace tidemill::cli
