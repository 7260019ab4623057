#include <unistd.h>

#include "base/text.h"
#include "cli/commands.h"
#include "exchange/copy.h"
#include "exchange/mlruns_source.h"
#include "exchange/store_sink.h"
#include "sys/signals.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct Options {
  std::string source;
  fs::path served;
  bool copy_artifacts = false;
};

constexpr size_t kShownProblems = 20;

void print_problems(const exchange::Report& report) {
  for (const std::string& note : report.notes) fmt::print(stderr, "note: {}\n", note);
  for (const exchange::Problem& problem : report.problems() | std::views::take(kShownProblems))
    fmt::print(stderr, "left out: {}: {}\n", problem.where, problem.reason);
  if (report.problem_count() > kShownProblems)
    fmt::print(stderr, "left out: {} more; --json lists them\n", report.problem_count() - kShownProblems);
}

// The bar, from when it is known how much there is.
class Bar {
 public:
  void show(uint64_t done, uint64_t total, const exchange::Report& report) {
    if (!progress_) progress_.emplace("import", total, "runs");
    progress_->set(done);
    if (report.points > 0) progress_->note(human_count(report.points) + " points");
  }

 private:
  std::optional<Progress> progress_;
};

Result<int> import_from(const Context& context, const Options& options) {
  auto source = TRY(exchange::MlrunsSource::open(options.source, options.served));
  auto store = TRY(context.open_store(Create::yes));
  std::optional<fs::path> destination;
  if (options.copy_artifacts) destination = TRY(context.artifact_root());
  exchange::StoreSink sink(store, destination);
  exchange::Report report;
  Result<> copied;
  {
    Bar bar;
    copied = exchange::copy(source, sink,
                            {.interrupted = interrupted,
                             .progress = [&](uint64_t done, uint64_t total,
                                             const exchange::Report& now) { bar.show(done, total, now); }},
                            report);
  }
  print_problems(report);
  TRY(print(context.json ? dump_json(report.to_json(), 2) + "\n" : report.to_string()));
  TRY(std::move(copied));
  return report.problem_count() > 0 ? 1 : 0;
}

}  // namespace

void add_import(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Take over what MLflow has recorded; may be repeated");
  command->add_option("SOURCE", options->source, "An mlruns folder, or one that has it in it")->required();
  command->add_flag("--copy-artifacts", options->copy_artifacts,
                    "Copy artifacts beside the store; without it they stay where they are");
  command->add_option("--source-artifacts", options->served,
                      "The folder behind the source's mlflow-artifacts:/ (default: mlartifacts beside it)");
  add_common_options(*command, context);
  command->footer(
      "Ids, names, times and steps are kept; what is deleted there is deleted here. A second import takes "
      "what is\n"
      "new or has changed, and removes nothing. Exit status 1: something had to be left out.\n"
      "Examples:\n"
      "  tidemill import mlruns\n"
      "  tidemill import /data/mlflow --copy-artifacts --store /data/tidemill.db");
  command->callback([&context, options] {
    context.action = [&context, options] { return import_from(context, *options); };
  });
}

}  // namespace tidemill::cli
