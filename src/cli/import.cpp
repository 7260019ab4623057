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
  bool copy_artifacts = false;
};

Result<int> import_from(const Context& context, const Options& options) {
  auto source = TRY(exchange::open_source(options.source, options.served, server_at(options.source)));
  auto store = TRY(context.open_store(Create::yes));
  std::optional<fs::path> destination;
  if (options.copy_artifacts) destination = TRY(context.artifact_root());
  exchange::StoreSink sink(store, destination);
  return transfer(context, "import", *source, sink);
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
                    "Copy artifacts beside the store; without it they stay where they are");
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
      "  tidemill import postgresql://mlflow@db.example.org/mlflow --source-artifacts /data/mlartifacts");
  command->callback([&context, options] {
    context.action = [&context, options] { return import_from(context, *options); };
  });
}

}  // namespace tidemill::cli
