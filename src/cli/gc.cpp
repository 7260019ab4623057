#include "artifacts/folder_repository.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "tracking/garbage.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::Garbage;

struct Options {
  std::string older_than;
  std::vector<std::string> run_ids, experiment_ids, model_ids;
  fs::path destination;
  bool dry_run = false;
};

// The folder of a run or model, when this machine has it and its path names the thing: an artifact location
// was chosen by a client and could be any folder.
std::optional<fs::path> folder_of(const fs::path& destination, const Garbage::Item& item) {
  std::optional<fs::path> folder = artifacts::local_folder(item.artifact_uri);
  if (auto path = artifacts::proxied_path(item.artifact_uri)) folder = destination / *path;
  if (!folder) return std::nullopt;
  *folder = folder->lexically_normal();
  bool names_it = std::find(folder->begin(), folder->end(), fs::path(item.id)) != folder->end();
  return names_it ? folder : std::nullopt;
}

Result<> remove_files(const fs::path& destination, const Garbage::Item& item) {
  std::optional<fs::path> folder = folder_of(destination, item);
  if (!folder) {
    fmt::print(stderr,
               "tidemill: the artifacts of {} in {} are left: they are not in a folder of its own here\n",
               item.id, item.artifact_uri);
    return {};
  }
  std::error_code error;
  if (fs::exists(fs::symlink_status(*folder, error))) TRY(tidemill::remove_all(*folder));
  // The folder named after the run, when nothing else is in it.
  if (folder->parent_path().filename() == item.id) fs::remove(folder->parent_path(), error);
  return {};
}

template <class Erase>
Result<> collect(const Context& context, const Options& options, std::string_view kind,
                 const std::vector<Garbage::Item>& items, Erase erase) {
  for (const Garbage::Item& item : items) {
    if (!options.dry_run) {
      if (!item.artifact_uri.empty()) TRY(remove_files(options.destination, item));
      TRY(erase(item.id));
    }
    if (!context.json)
      TRY(print(fmt::format("{} {} {}\n", kind, item.id, options.dry_run ? "would be removed" : "removed")));
  }
  return {};
}

Json ids_of(const std::vector<Garbage::Item>& items) {
  Json ids = Json::array();
  for (const Garbage::Item& item : items) ids.push_back(item.id);
  return ids;
}

Result<int> collect_garbage(const Context& context, Options options) {
  tracking::GarbageSelection selection;
  if (!options.older_than.empty())
    selection.older_than_ms = TRY(parse_age("--older-than", options.older_than));
  bool picks = !options.run_ids.empty() || !options.experiment_ids.empty() || !options.model_ids.empty();
  if (picks) {
    selection.run_ids = options.run_ids;
    selection.experiment_ids = options.experiment_ids;
    selection.model_ids = options.model_ids;
  }
  if (options.destination.empty()) options.destination = TRY(context.artifact_root());
  auto store = TRY(context.open_store());
  tracking::GarbageCollection collection(store);
  Garbage garbage = TRY(collection.find(selection));
  TRY(collect(context, options, "run", garbage.runs,
              [&](const std::string& id) { return collection.erase_run(id); }));
  TRY(collect(context, options, "model", garbage.models,
              [&](const std::string& id) { return collection.erase_model(id); }));
  TRY(collect(context, options, "experiment", garbage.experiments,
              [&](const std::string& id) { return collection.erase_experiment(id); }));
  if (context.json) {
    Json removed{{"runs", ids_of(garbage.runs)},
                 {"models", ids_of(garbage.models)},
                 {"experiments", ids_of(garbage.experiments)},
                 {"dry_run", options.dry_run}};
    TRY(print(dump_json(removed, 2) + "\n"));
  } else if (garbage.runs.empty() && garbage.models.empty() && garbage.experiments.empty()) {
    fmt::print(stderr, "nothing to remove\n");
  }
  return 0;
}

}  // namespace

void add_gc(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* gc =
      app.add_subcommand("gc", "Remove deleted runs, models and experiments for good, with their files");
  gc->add_option("--older-than", options->older_than,
                 "Only what was deleted at least so long ago: 30d, 1d2h3m4s");
  gc->add_option("--run-ids", options->run_ids, "Only these runs, separated by commas")->delimiter(',');
  gc->add_option("--experiment-ids", options->experiment_ids, "Only these experiments, with all their runs")
      ->delimiter(',');
  gc->add_option("--logged-model-ids", options->model_ids, "Only these logged models")->delimiter(',');
  gc->add_option("--artifacts-destination", options->destination,
                 "The folder behind mlflow-artifacts:/ (default: mlartifacts beside the store)");
  gc->add_flag("--dry-run", options->dry_run, "Only say what would be removed");
  add_common_options(*gc, context);
  gc->footer("Example: tidemill gc --older-than 30d");
  gc->callback([&context, options] {
    context.action = [&context, options] { return collect_garbage(context, *options); };
  });
}

}  // namespace tidemill::cli
