#include "artifacts/artifact_repository.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/transfer.h"
#include "exchange/open_source.h"
#include "exchange/store_sink.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct Options {
  std::string source;
  fs::path served;
  bool copy_artifacts = false, full = false;
  std::string destination;  // "": MLFLOW_ARTIFACTS_DESTINATION, else beside the store
};

Result<std::unique_ptr<artifacts::ArtifactRepository>> open_destination(const Context& context,
                                                                        const Options& options) {
  const char* from_environment = std::getenv("MLFLOW_ARTIFACTS_DESTINATION");
  std::string destination = options.destination;
  if (destination.empty() && from_environment) destination = from_environment;
  if (destination.empty()) destination = TRY(context.artifact_root()).string();
  return artifacts::open_repository(destination);
}

Result<int> import_from(const Context& context, const Options& options) {
  auto source = TRY(exchange::open_source(options.source, options.served, server_at(options.source)));
  auto store = TRY(context.open_store(Create::yes));
  std::unique_ptr<artifacts::ArtifactRepository> destination;
  if (options.copy_artifacts || !options.destination.empty())
    destination = TRY(open_destination(context, options));
  exchange::StoreSink sink(store, std::move(destination));
  // Asking a server for all points takes long.
  return transfer(context, "import", *source, sink, exchange::is_server(options.source) && !options.full);
}

}  // namespace

void add_import(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Take over what MLflow has recorded; may be repeated");
  command
      ->add_option(
          "SOURCE", options->source,
          "An mlruns folder, an mlflow.db, sqlite:///path, postgresql://user@host/db or http://server:5000")
      ->required();
  command->add_flag("--copy-artifacts", options->copy_artifacts,
                    "Copy artifacts too; without it they stay where they are");
  command->add_option(
      "--artifacts-destination", options->destination,
      "Copy artifacts to this folder or s3://bucket/prefix, what the server is to have as its "
      "--artifacts-destination (default: mlartifacts beside the store); also "
      "MLFLOW_ARTIFACTS_DESTINATION");
  command->add_flag("--full", options->full,
                    "From a server: ask once more for the points of ended runs whose latest ones are here");
  command->add_option("--source-artifacts", options->served,
                      "The folder behind the source's mlflow-artifacts:/ (default: mlartifacts beside it)");
  add_common_options(*command, context);
  command->footer(
      "Ids, names, times and steps are kept; what is deleted there is deleted here. A second import takes "
      "what is\n"
      "new or has changed, and removes nothing. Exit status 1: something had to be left out.\n"
      "A server's user, password, token and certificate come from MLFLOW_TRACKING_USERNAME and so on.\n"
      "Examples:\n"
      "  tidemill import mlruns\n"
      "  tidemill import mlflow.db --copy-artifacts\n"
      "  tidemill import https://mlflow.example.org --copy-artifacts --store /data/tidemill.db\n"
      "  tidemill import mlflow.db --artifacts-destination s3://bucket/mlflow\n"
      "  tidemill import postgresql://mlflow@db.example.org/mlflow --source-artifacts /data/mlartifacts");
  command->callback([&context, options] {
    context.action = [&context, options] { return import_from(context, *options); };
  });
}

}  // namespace tidemill::cli
