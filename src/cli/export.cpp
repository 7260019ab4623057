#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/transfer.h"
#include "exchange/mlruns_sink.h"
#include "exchange/open_source.h"
#include "exchange/remote_sink.h"
#include "exchange/store_source.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct Options {
  std::string destination;
  bool no_artifacts = false;
};

Result<std::unique_ptr<exchange::Sink>> open_sink(const Options& options) {
  using exchange::CopyFiles, exchange::MlrunsSink, exchange::RemoteSink;
  if (!exchange::is_server(options.destination))
    return std::make_unique<MlrunsSink>(
        TRY(MlrunsSink::open(options.destination, options.no_artifacts ? CopyFiles::no : CopyFiles::yes)));
  auto api = TRY(exchange::MlflowApi::connect(server_at(options.destination)));
  auto upload = options.no_artifacts ? RemoteSink::Upload::no : RemoteSink::Upload::yes;
  return std::make_unique<RemoteSink>(std::move(api), upload);
}

Result<int> export_to(const Context& context, const Options& options) {
  auto store = TRY(context.open_store());
  exchange::StoreSource source(store, TRY(context.artifact_root()));
  auto sink = TRY(open_sink(options));
  return transfer(context, "export", source, *sink);
}

}  // namespace

void add_export(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "Give everything to MLflow; may be repeated");
  command
      ->add_option("DESTINATION", options->destination,
                   "An mlruns folder, new or of an earlier export, or the URL of an MLflow server")
      ->required();
  command->add_flag("--no-artifacts", options->no_artifacts, "Leave artifacts where they are");
  add_common_options(*command, context);
  command->footer(
      "A folder is one that MLflow reads: mlflow ui --backend-store-uri DESTINATION. From MLflow 3.12 on "
      "that takes\n"
      "MLFLOW_ALLOW_FILE_STORE=true, or `mlflow migrate-filestore`, which makes a database of it. A server "
      "gives runs\n"
      "ids of its own; their ids here are in the tag tidemill.pushed_from.\n"
      "Examples:\n"
      "  tidemill export /data/mlruns\n"
      "  tidemill export https://mlflow.example.org");
  command->callback(
      [&context, options] { context.action = [&context, options] { return export_to(context, *options); }; });
}

}  // namespace tidemill::cli
