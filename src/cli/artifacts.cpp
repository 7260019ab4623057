#include "artifacts/artifact_repository.h"

#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct Options {
  std::string run_id;
  std::string path;
  bool recursive = false;
  fs::path output;
};

Result<std::unique_ptr<artifacts::ArtifactRepository>> repository_of(const Context& context,
                                                                     const std::string& run_id) {
  auto store = TRY(context.open_store());
  return context.artifacts_of(TRY(store.run(run_id)).info);
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

Result<bool> is_a_file(const artifacts::ArtifactRepository& repository, const std::string& path) {
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
  std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  for (const auto& file : TRY(repository.list(folder)))
    if (file.name == name) return !file.is_folder;
  return false;
}

Result<int> list_artifacts(const Context& context, const Options& options) {
  auto repository = TRY(repository_of(context, options.run_id));
  std::vector<Entry> entries;
  TRY(collect(*repository, options.path, options.recursive, entries));
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

Result<int> download_artifacts(const Context& context, Options options) {
  while (options.path.ends_with('/')) options.path.pop_back();
  auto repository = TRY(repository_of(context, options.run_id));
  std::vector<Entry> entries;
  bool is_file = !options.path.empty() && TRY(is_a_file(*repository, options.path));
  if (!is_file) TRY(collect(*repository, options.path, true, entries));
  if (!is_file && entries.empty())
    return fail(Code::kNotFound, "run {} has no artifact '{}'", options.run_id, options.path);
  fs::path target =
      options.output / (options.path.empty() ? fs::path(options.run_id) : fs::path(options.path).filename());
  TRY(make_dirs(options.output));
  if (is_file) TRY(repository->download(options.path, target));
  size_t before = options.path.empty() ? 0 : options.path.size() + 1;
  for (const Entry& entry : entries) {
    fs::path place = target / entry.path.substr(before);
    TRY(make_dirs(entry.is_folder ? place : place.parent_path()));
    if (!entry.is_folder) TRY(repository->download(entry.path, place));
  }
  if (context.json) {
    TRY(print(dump_json(Json{{"path", target.string()}}) + "\n"));
  } else {
    TRY(print(target.string() + "\n"));
  }
  return 0;
}

}  // namespace

void add_artifacts(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("artifacts", "Files that runs have written");
  command->require_subcommand(1);
  auto options = std::make_shared<Options>();

  CLI::App* list = command->add_subcommand("list", "Files of a run");
  list->add_option("RUN", options->run_id, "The run's id")->required();
  list->add_option("PATH", options->path, "A folder in its artifacts");
  list->add_flag("-r,--recursive", options->recursive, "Also what is in folders");
  add_common_options(*list, context);
  list->footer("Example: tidemill artifacts list RUN -r");
  list->callback([&context, options] {
    context.action = [&context, options] { return list_artifacts(context, *options); };
  });

  CLI::App* download = command->add_subcommand("download", "Copy a file or a folder; prints where it is");
  download->add_option("RUN", options->run_id, "The run's id")->required();
  download->add_option("PATH", options->path,
                       "A file or a folder in its artifacts; all of them when left out");
  download->add_option("-o,--output", options->output, "Folder to write to")->default_val(".");
  add_common_options(*download, context);
  download->footer("Example: tidemill artifacts download RUN model.onnx -o /tmp");
  download->callback([&context, options] {
    context.action = [&context, options] { return download_artifacts(context, *options); };
  });
}

}  // namespace tidemill::cli
