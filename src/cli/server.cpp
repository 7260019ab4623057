// tidemill server: the tracking endpoint on a port, until it is told to stop.
#include <poll.h>

#include <CLI/CLI.hpp>

#include "api/endpoint.h"
#include "artifacts/artifact_repository.h"
#include "base/text.h"
#include "cli/commands.h"
#include "sys/signals.h"

namespace tidemill::cli {
namespace {

constexpr std::chrono::seconds kGrace{10};

struct ServerFlags {
  std::string backend_store_uri, default_artifact_root, artifacts_destination;
  std::string host = "127.0.0.1";
  uint16_t port = 5000;
  std::string allowed_hosts;
};

// "sqlite:///dir/file.db" is relative, "sqlite:////dir/file.db" absolute, as SQLAlchemy has it; or a plain
// path.
Result<std::string> store_file_of(const std::string& uri) {
  constexpr std::string_view kSqlite = "sqlite:///";
  if (uri.starts_with(kSqlite)) return uri.substr(kSqlite.size());
  if (uri.find("://") == std::string::npos) return uri;
  return fail(Code::kInvalid,
              "--backend-store-uri '{}': give sqlite:///path, or the path of the store's file", uri);
}

std::vector<std::string> hosts_of(const std::string& list) {
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

Result<int> serve(const Context& context, const ServerFlags& flags) {
  std::string file =
      TRY(store_file_of(flags.backend_store_uri.empty() ? context.store_file : flags.backend_store_uri));
  fs::path destination = flags.artifacts_destination;
  if (destination.empty()) destination = context.artifact_root();
  std::string root = flags.default_artifact_root.empty() ? "mlflow-artifacts:" : flags.default_artifact_root;
  auto store = TRY(tracking::Store::open({.file = file, .default_artifact_root = root}));

  api::EndpointOptions options;
  options.host = flags.host;
  options.port = flags.port;
  options.allowed_hosts = hosts_of(flags.allowed_hosts);
  options.artifacts_destination = destination;
  if (auto folder = artifacts::local_folder(root)) options.readable_roots.push_back(*folder);
  auto endpoint = TRY(api::Endpoint::start(store, std::move(options)));
  TRY(print(fmt::format("Tracking server at {}, store {}, artifacts in {}\n", endpoint.url(), file,
                        destination.string())));
  wait_for_signal();
  endpoint.stop(kGrace);
  return 0;
}

}  // namespace

void add_server(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("server", "Serve the tracking store to MLflow clients");
  auto flags = std::make_shared<ServerFlags>();
  command->add_option("--backend-store-uri", flags->backend_store_uri,
                      "The store: sqlite:///path or a path (default: --store)");
  command->add_option(
      "--default-artifact-root", flags->default_artifact_root,
      "Where new experiments keep artifacts (default: mlflow-artifacts:/, through this server)");
  command->add_option("--artifacts-destination", flags->artifacts_destination,
                      "The folder behind mlflow-artifacts:/ (default: mlartifacts beside the store)");
  command->add_option("-H,--host", flags->host, "Address to listen on; 0.0.0.0 for all")
      ->capture_default_str();
  command->add_option("-p,--port", flags->port, "Port to listen on; 0 for any free one")
      ->capture_default_str();
  command->add_option("--allowed-hosts", flags->allowed_hosts,
                      "Host names under which it may be reached, beside localhost and addresses; "
                      "comma-separated, * as wildcard");
  command->footer(
      "Examples:\n"
      "  tidemill server\n"
      "  tidemill server --host 0.0.0.0 --port 8080 --allowed-hosts 'mlflow.example.org'\n"
      "  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python train.py");
  add_common_options(*command, context);
  command->callback(
      [&context, flags] { context.action = [&context, flags] { return serve(context, *flags); }; });
}

}  // namespace tidemill::cli
