// tidemill gc: what was deleted goes for good, files first.
#include <algorithm>

#include "artifacts/folder_repository.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/run_id.h"
#include "tracking/garbage.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::Garbage;

struct Options {
  std::string older_than;
  std::vector<std::string> run_ids, experiment_ids, model_ids;
  std::string destination;  // behind mlflow-artifacts:/
  bool dry_run = false;
  std::string tracking_uri;  // MLflow's way to reach artifacts; not needed here
};

// An artifact location was chosen by a client and could be any folder: it must name the run or model.
bool names(const fs::path& path, const std::string& id) {
  return std::find(path.begin(), path.end(), fs::path(id)) != path.end();
}

Result<> remove_folder(const fs::path& folder, const std::string& id) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(folder, error))) TRY(tidemill::remove_all(folder));
  // The folder named after the run, when nothing else is in it.
  if (folder.parent_path().filename() == id) fs::remove(folder.parent_path(), error);
  return {};
}

class FileRemover {
 public:
  explicit FileRemover(std::string destination) : destination_(std::move(destination)) {}

  Result<> remove(const Garbage::Item& item) {
    std::string uri = item.artifact_uri;
    if (auto path = artifacts::proxied_path(uri)) uri = destination_ + "/" + *path;
    if (auto folder = artifacts::local_folder(uri)) {
      fs::path normal = folder->lexically_normal();
      if (names(normal, item.id)) return remove_folder(normal, item.id);
    } else if (artifacts::is_s3(uri)) {
      size_t key = uri.find('/', std::string_view("s3://").size());
      if (key != std::string::npos && names(uri.substr(key), item.id))
        return remove_objects(uri.substr(0, key), uri.substr(key + 1));
    }
    fmt::print(stderr, "tidemill: the artifacts of {} in {} are left: they are not in a place of its own\n",
               item.id, item.artifact_uri);
    return {};
  }

 private:
  Result<> remove_objects(const std::string& bucket, const std::string& path) {
    auto& repository = buckets_[bucket];
    if (!repository) repository = TRY(artifacts::open_repository(bucket));
    auto removed = repository->remove(path);
    return removed || removed.error().code == Code::kNotFound ? Result<>() : removed;
  }

  std::string destination_;
  std::map<std::string, std::unique_ptr<artifacts::ArtifactRepository>> buckets_;
};

// What is looked for in a wrong place counts as removed, and nothing would know of its files any more.
Result<> check_destination(const std::string& destination, const Garbage& garbage) {
  auto lies_there = [](const Garbage::Item& item) {
    return artifacts::proxied_path(item.artifact_uri).has_value();
  };
  if (std::ranges::none_of(garbage.runs, lies_there) && std::ranges::none_of(garbage.models, lies_there))
    return {};
  std::error_code error;
  if (auto folder = artifacts::local_folder(destination)) {
    if (fs::is_directory(*folder, error)) return {};
  } else {
    auto listed = TRY(artifacts::open_repository(destination))->list("");
    if (listed) return {};
    if (listed.error().code != Code::kNotFound) return tl::unexpected<Error>(std::move(listed).error());
  }
  return fail(
      Code::kInvalid,
      "artifacts are at mlflow-artifacts:/, and there is no {}: name what the server has behind it with "
      "--artifacts-destination",
      destination);
}

template <class Erase>
Result<> collect(const Context& context, const Options& options, FileRemover& files, std::string_view kind,
                 const std::vector<Garbage::Item>& items, Erase erase) {
  for (const Garbage::Item& item : items) {
    if (!options.dry_run) {
      if (!item.artifact_uri.empty()) TRY_IN(item.id, files.remove(item));
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
  if (options.destination.empty()) options.destination = TRY(context.artifact_root()).string();
  FileRemover files(options.destination);
  auto store = TRY(context.open_store());
  if (picks)
    for (std::string& id : *selection.run_ids) id = TRY(full_run_id(store, id));
  tracking::GarbageCollection collection(store);
  Garbage garbage = TRY(collection.find(selection));
  TRY(check_destination(options.destination, garbage));
  TRY(collect(context, options, files, "run", garbage.runs,
              [&](const std::string& id) { return collection.erase_run(id); }));
  TRY(collect(context, options, files, "model", garbage.models,
              [&](const std::string& id) { return collection.erase_model(id); }));
  TRY(collect(context, options, files, "experiment", garbage.experiments,
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
  gc->add_option(
        "--artifacts-destination", options->destination,
        "The folder or s3://bucket/prefix behind mlflow-artifacts:/ (default: mlartifacts beside the "
        "store)")
      ->envname("MLFLOW_ARTIFACTS_DESTINATION");
  gc->add_option("--tracking-uri", options->tracking_uri,
                 "Accepted, without effect: no server is needed to find artifacts");
  gc->add_flag("--dry-run", options->dry_run, "Only say what would be removed");
  add_common_options(*gc, context);
  gc->footer(
      "Examples:\n"
      "  tidemill gc --older-than 30d\n"
      "  tidemill gc --run-ids 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f --dry-run\n"
      "  tidemill gc --artifacts-destination s3://bucket/mlflow");
  gc->callback([&context, options] {
    context.action = [&context, options] { return collect_garbage(context, *options); };
  });
}

}  // namespace tidemill::cli
