// tidemill artifacts: the commands of `mlflow artifacts`.
#include <unistd.h>

#include "artifacts/artifact_repository.h"
#include "artifacts/tree.h"
#include "base/text.h"
#include "cli/csv.h"
#include "cli/format.h"
#include "cli/records.h"
#include "cli/run_id.h"
#include "net/cancel.h"
#include "sys/signals.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct Options {
  std::string run_id;
  std::string path;
  std::string uri;  // instead of a run and a path
  bool recursive = false, csv = false;
  fs::path output;
  fs::path local;  // to be logged
};

using Repository = std::unique_ptr<artifacts::ArtifactRepository>;

Result<Repository> files_of_run(Records& records, const std::string& id) {
  std::string uri = TRY(records.run(id)).info.artifact_uri;
  return TRY_IN(fmt::format("run {}", id), records.files_at(uri));
}

Result<Repository> repository_of(const Context& context, const std::string& run_id) {
  auto records = TRY(open_records(context));
  return files_of_run(*records, run_id);
}

Result<Repository> files_at(Records& records, const std::string& uri, std::string& path);

// models:/NAME/VERSION, also with "latest" or a stage, or models:/NAME@ALIAS, and a path behind it.
Result<Repository> files_of_model(Records& records, std::string_view reference, std::string& path) {
  size_t at = reference.find('@');
  size_t end = std::min(reference.find('/'), reference.size());
  bool by_alias = at < end;
  std::string name(reference.substr(0, by_alias ? at : end));
  std::string_view rest = reference.substr(std::min(name.size() + 1, reference.size()));
  std::string which(rest.substr(0, rest.find('/')));
  path = rest.substr(std::min(which.size() + 1, rest.size()));
  if (name.empty() || which.empty())
    return fail(Code::kInvalid, "models:/{}: it is written models:/NAME/VERSION or models:/NAME@ALIAS",
                reference);
  auto models = records.models();
  int64_t version = by_alias ? TRY(models->version_by_alias(name, which)).version
                             : TRY(exchange::named_version(*models, name, which));
  std::string location = TRY(models->location(name, version));
  auto files_of_version = [&]() -> Result<Repository> {
    if (!location.starts_with("runs:/")) return records.files_at(location);
    std::string folder;
    return TRY(files_at(records, location, folder))->below(folder);
  };
  return TRY_IN(fmt::format("{} version {}", name, version), files_of_version());
}

// The repository and the path in it that a URI names.
Result<Repository> files_at(Records& records, const std::string& uri, std::string& path) {
  constexpr std::string_view kRuns = "runs:/", kModels = "models:/";
  if (uri.starts_with(kModels))
    return files_of_model(records, std::string_view(uri).substr(kModels.size()), path);
  if (uri.starts_with(kRuns)) {
    std::string_view rest = std::string_view(uri).substr(kRuns.size());
    std::string id(rest.substr(0, rest.find('/')));
    path = rest.substr(std::min(id.size() + 1, rest.size()));
    return files_of_run(records, id);
  }
  std::string_view whole = uri;
  while (whole.ends_with('/')) whole.remove_suffix(1);
  size_t slash = whole.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || whole[slash - 1] == ':')
    return fail(Code::kInvalid, "'{}' names no file or folder of artifacts", uri);
  path = whole.substr(slash + 1);
  return records.files_at(std::string(whole.substr(0, slash)));
}

struct Entry {
  std::string path;
  bool is_folder;
  uint64_t size;
};

Result<> collect(const artifacts::ArtifactRepository& repository, const std::string& folder, bool recursive,
                 std::vector<Entry>& out) {
  for (const auto& file : TRY(repository.list(folder))) {
    std::string path = folder.empty() ? file.name : folder + "/" + file.name;
    out.push_back({path, file.is_folder, file.size});
    if (file.is_folder && recursive) TRY(collect(repository, path, recursive, out));
  }
  return {};
}

Result<int> list_artifacts(const Context& context, const Options& options) {
  auto repository = TRY(repository_of(context, options.run_id));
  std::vector<Entry> entries;
  TRY(collect(*repository, options.path, options.recursive, entries));
  if (options.csv) {
    std::string csv = csv_line({"path", "is_dir", "file_size"});
    for (const auto& entry : entries)
      csv += csv_line({entry.path, entry.is_folder ? "true" : "false",
                       entry.is_folder ? "" : std::to_string(entry.size)});
    TRY(print(csv));
    return 0;
  }
  if (context.json) {
    Json json = Json::array();
    for (const auto& entry : entries) {
      Json item{{"path", entry.path}, {"is_dir", entry.is_folder}};
      if (!entry.is_folder) item["file_size"] = entry.size;
      json.push_back(std::move(item));
    }
    TRY(print(dump_json({{"artifacts", json}}, 2) + "\n"));
    return 0;
  }
  Table table({"PATH", "SIZE"});
  for (const auto& entry : entries)
    table.add({entry.path + (entry.is_folder ? "/" : ""), entry.is_folder ? "" : human_bytes(entry.size)});
  TRY(print(table.to_string()));
  return 0;
}

// Where what is downloaded lies then. All artifacts come into the folder that is named, as by MLflow.
fs::path target_of(const Options& options) {
  const fs::path folder = options.output.empty() ? "." : options.output;
  if (!options.path.empty()) return folder / fs::path(options.path).filename();
  if (!options.output.empty()) return folder;
  return folder / (options.uri.empty() ? options.run_id : "artifacts");
}

Result<int> download_artifacts(const Context& context, Options options) {
  if (options.run_id.empty() == options.uri.empty())
    return fail(Code::kInvalid, "name a run, or with --artifact-uri where the artifacts are");
  auto records = TRY(open_records(context));
  auto repository = TRY(options.uri.empty() ? files_of_run(*records, options.run_id)
                                            : files_at(*records, options.uri, options.path));
  while (options.path.ends_with('/')) options.path.pop_back();
  auto found = artifacts::tree_at(*repository, options.path);
  if (!found && found.error().code == Code::kNotFound)
    return fail(Code::kNotFound, "{} has no artifact '{}'",
                options.uri.empty() ? "run " + options.run_id : repository->name(), options.path);
  const artifacts::Tree tree = TRY(std::move(found));
  const fs::path target = target_of(options);
  std::optional<Progress> progress;
  if (is_terminal(STDERR_FILENO)) progress.emplace("artifacts", tree.bytes(), "bytes");
  TRY(artifacts::download(*repository, options.path, tree, target, [&](uint64_t bytes) -> Result<> {
    if (progress) progress->advance(bytes);
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    return {};
  }));
  progress.reset();
  if (context.json) {
    TRY(print(dump_json(Json{{"path", target.string()}}) + "\n"));
  } else {
    TRY(print(target.string() + "\n"));
  }
  return 0;
}

// The files below a folder. Links to folders are not followed, as by MLflow.
Result<std::vector<fs::path>> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error))
    if (std::error_code ignored; it->is_regular_file(ignored)) files.push_back(it->path());
  if (error) return tl::unexpected<Error>(errno_error("read " + folder.string(), error.value()));
  std::sort(files.begin(), files.end());
  return files;
}

Result<> log_file(const Options& options, const artifacts::ArtifactRepository& repository,
                  const fs::path& file, const fs::path& place) {
  fs::path path = fs::path(options.path) / place;
  return repository.put_file(path.generic_string(), file, artifacts::ArtifactRepository::Source::kKeep);
}

Result<int> log_artifact(const Context& context, const Options& options) {
  std::error_code ignored;
  if (!fs::is_regular_file(options.local, ignored))
    return fail(Code::kNotFound, "there is no file {}; folders are logged by log-artifacts",
                options.local.string());
  auto repository = TRY(repository_of(context, options.run_id));
  TRY(log_file(options, *repository, options.local, options.local.filename()));
  if (context.json) TRY(print(dump_json(Json{{"run_id", options.run_id}, {"files", 1}}) + "\n"));
  return 0;
}

Result<int> log_artifacts(const Context& context, const Options& options) {
  std::error_code ignored;
  if (!fs::is_directory(options.local, ignored))
    return fail(Code::kNotFound, "there is no folder {}; single files are logged by log-artifact",
                options.local.string());
  auto files = TRY(files_below(options.local));
  auto repository = TRY(repository_of(context, options.run_id));
  Progress progress("artifacts", files.size(), "files");
  for (const fs::path& file : files) {
    if (interrupted())
      return fail(Code::kCancelled, "interrupted; the files before {} are there", file.string());
    TRY(log_file(options, *repository, file, file.lexically_relative(options.local)));
    progress.advance(1);
  }
  progress.finish();
  if (context.json) TRY(print(dump_json(Json{{"run_id", options.run_id}, {"files", files.size()}}) + "\n"));
  return 0;
}

}  // namespace

void add_artifacts(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("artifacts", "Files that runs have written");
  command->require_subcommand(1);
  auto options = std::make_shared<Options>();
  auto add = [&](const char* name, const char* help, const char* example, auto call) {
    CLI::App* added = command->add_subcommand(name, help);
    added->footer(fmt::format("Example: tidemill artifacts {}", example));
    add_record_options(*added, context);
    added->callback([&context, options, call] {
      context.action = [&context, options, call]() -> Result<int> {
        const CancelCallsOn cancel(interrupt_fd());
        options->run_id = TRY(full_run_id(context, options->run_id));
        return call(context, *options);
      };
    });
    return added;
  };

  CLI::App* list = add("list", "Files of a run", "list RUN -r", list_artifacts);
  list->add_option("RUN,--run-id", options->run_id, "The run's id")->required();
  list->add_option("PATH,-a,--artifact-path", options->path, "A folder in its artifacts");
  list->add_flag("-r,--recursive", options->recursive, "Also what is in folders");
  list->add_flag("--csv", options->csv, "Comma-separated values");

  CLI::App* download = add("download", "Copy a file or a folder; prints where it is",
                           "download RUN model.onnx -o /tmp\n         tidemill artifacts download -u "
                           "models:/cifar10@champion -o champion",
                           download_artifacts);
  download->add_option("RUN,-r,--run-id", options->run_id, "The run's id");
  download->add_option("PATH,-a,--artifact-path", options->path,
                       "A file or a folder in its artifacts; all of them when left out");
  download->add_option("-u,--artifact-uri", options->uri,
                       "Instead of a run: runs:/RUN/PATH, models:/NAME/VERSION (also latest, or a stage), "
                       "models:/NAME@ALIAS, "
                       "mlflow-artifacts:/..., s3://..., a folder");
  download->add_option("-o,-d,--output,--dst-path", options->output,
                       "Folder to write to (default: this one; all artifacts of a run: one named after it)");

  CLI::App* file =
      add("log-artifact", "Give a run a file", "log-artifact RUN -l model.onnx -a models", log_artifact);
  CLI::App* folder = add("log-artifacts", "Give a run all files of a folder",
                         "log-artifacts RUN -l out -a models", log_artifacts);
  file->add_option("-l,--local-file", options->local, "The file")->required();
  folder->add_option("-l,--local-dir", options->local, "The folder")->required();
  for (CLI::App* log : {file, folder}) {
    log->add_option("RUN,-r,--run-id", options->run_id, "The run's id")->required();
    log->add_option("-a,--artifact-path", options->path, "The folder in its artifacts (default: their root)");
  }
}

}  // namespace tidemill::cli
