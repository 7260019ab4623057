#include "artifacts/artifact_repository.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/csv.h"
#include "cli/records.h"
#include "cli/run_id.h"
#include "sys/terminal.h"
#include "tracking/registry.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::ModelVersion;
using tracking::RegisteredModel;

struct Options {
  std::string name, new_name;
  std::string alias, stage;
  int64_t version = 0;
  std::string run_id, path;
  std::string description;
  std::vector<std::string> tags;
  std::string filter;
  std::vector<std::string> order_by;
  int64_t limit = 100;
  bool archive = false, csv = false;
};

Json to_json(const std::vector<tracking::KeyValue>& tags) {
  Json json = Json::object();
  for (const auto& [key, value] : tags) json[key] = value;
  return json;
}

Json to_json(const ModelVersion& version) {
  return {{"name", version.name},
          {"version", version.version},
          {"stage", tracking::to_string(version.stage)},
          {"aliases", version.aliases},
          {"description", version.description.value_or("")},
          {"source", version.source},
          {"storage_location", version.storage_location},
          {"run_id", version.run_id},
          {"model_id", version.model_id},
          {"creation_time", version.created},
          {"last_update_time", version.updated},
          {"tags", to_json(version.tags)}};
}

Json to_json(const RegisteredModel& model) {
  Json aliases = Json::object(), latest = Json::array();
  for (const auto& [alias, version] : model.aliases) aliases[alias] = version;
  for (const auto& version : model.latest_versions) latest.push_back(to_json(version));
  return {{"name", model.name},
          {"description", model.description},
          {"creation_time", model.created},
          {"last_update_time", model.updated},
          {"aliases", aliases},
          {"tags", to_json(model.tags)},
          {"latest_versions", latest}};
}

template <class T>
Result<> print_json(std::string_view name, const std::vector<T>& items) {
  Json json = Json::array();
  for (const auto& item : items) json.push_back(to_json(item));
  return print(dump_json({{name, json}}, 2) + "\n");
}

std::string aliases_of(const RegisteredModel& model) {
  std::vector<std::string> all;
  for (const auto& [alias, version] : model.aliases) all.push_back(fmt::format("{}@{}", alias, version));
  return join(all, " ");
}

std::string newest_of(const RegisteredModel& model) {
  int64_t newest = 0;
  for (const auto& version : model.latest_versions) newest = std::max(newest, version.version);
  return newest == 0 ? "" : std::to_string(newest);
}

// Searches tell them with the model only.
void add_aliases(const RegisteredModel& model, ModelVersion& version) {
  if (!version.aliases.empty()) return;
  for (const auto& [alias, number] : model.aliases)
    if (number == version.version) version.aliases.push_back(alias);
}

std::string versions_table(const std::vector<ModelVersion>& versions) {
  Table table({"VERSION", "STAGE", "ALIASES", "CREATED", "RUN", "SOURCE"});
  for (const auto& version : versions)
    table.add({std::to_string(version.version), std::string(tracking::to_string(version.stage)),
               join(version.aliases, " "), format_local(version.created), version.run_id, version.source});
  return table.to_string();
}

std::string models_csv(const std::vector<RegisteredModel>& models) {
  std::string out =
      csv_line({"name", "newest_version", "aliases", "creation_time", "last_update_time", "description"});
  for (const auto& model : models)
    out += csv_line({model.name, newest_of(model), aliases_of(model), format_utc(model.created),
                     format_utc(model.updated), model.description});
  return out;
}

std::string versions_csv(const std::vector<ModelVersion>& versions) {
  std::string out = csv_line({"name", "version", "stage", "aliases", "creation_time", "last_update_time",
                              "run_id", "source", "description"});
  for (const auto& version : versions)
    out += csv_line({version.name, std::to_string(version.version),
                     std::string(tracking::to_string(version.stage)), join(version.aliases, " "),
                     format_utc(version.created), format_utc(version.updated), version.run_id, version.source,
                     version.description.value_or("")});
  return out;
}

Result<int> list_models(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  auto page = TRY(records->models()->search({.filter = options.filter,
                                             .max_results = options.limit,
                                             .order_by = options.order_by,
                                             .page_token = ""}));
  if (context.json || options.csv) {
    TRY(options.csv ? print(models_csv(page.items)) : print_json("models", page.items));
    return 0;
  }
  Table table({"NAME", "NEWEST", "ALIASES", "CHANGED", "DESCRIPTION"});
  for (const auto& model : page.items)
    table.add({model.name, newest_of(model), aliases_of(model), format_local(model.updated),
               model.description.substr(0, model.description.find('\n'))});
  TRY(print(table.to_string()));
  if (page.items.empty()) fmt::print(stderr, "no models\n");
  if (!page.next_page_token.empty()) fmt::print(stderr, "the first {}; more with --limit\n", options.limit);
  return 0;
}

Result<int> list_versions(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  auto models = records->models();
  RegisteredModel model = TRY(models->model(options.name));
  const std::string& name = model.name;
  auto page = TRY(models->search_versions({.filter = exchange::name_filter(name),
                                           .max_results = options.limit,
                                           .order_by = {"version_number DESC"},
                                           .page_token = ""}));
  for (ModelVersion& version : page.items) add_aliases(model, version);
  if (context.json || options.csv) {
    TRY(options.csv ? print(versions_csv(page.items)) : print_json("versions", page.items));
    return 0;
  }
  TRY(print(versions_table(page.items)));
  if (page.items.empty()) fmt::print(stderr, "{} has no versions\n", name);
  if (!page.next_page_token.empty()) fmt::print(stderr, "the newest {}; more with --limit\n", options.limit);
  return 0;
}

Result<int> show_model(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  RegisteredModel model = TRY(records->models()->model(options.name));
  for (ModelVersion& version : model.latest_versions) add_aliases(model, version);
  if (context.json) {
    TRY(print(dump_json(to_json(model), 2) + "\n"));
    return 0;
  }
  std::string out = styled(model.name, Style::kBold, use_colour(STDOUT_FILENO)) + "\n";
  if (!model.description.empty()) out += model.description + "\n";
  out += fmt::format("created {}, changed {}\n", format_local(model.created), format_local(model.updated));
  Table aliases({"ALIAS", "VERSION"}), tags({"TAG", ""});
  for (const auto& [alias, version] : model.aliases) aliases.add({alias, std::to_string(version)});
  for (const auto& [key, value] : model.tags) tags.add({key, value});
  for (const std::string& part :
       {versions_table(model.latest_versions), aliases.to_string(), tags.to_string()})
    if (!part.empty()) out += "\n" + part;
  TRY(print(out));
  return 0;
}

// What a command made or changed: JSON when asked for, else only the word that scripts go on with.
Result<int> answer(const Context& context, const Json& json, const std::string& word) {
  if (!context.json && word.empty()) return 0;
  TRY(print(context.json ? dump_json(json, 2) + "\n" : word + "\n"));
  return 0;
}

Result<std::vector<tracking::KeyValue>> tags_of(const Options& options) {
  std::vector<tracking::KeyValue> tags;
  for (const std::string& tag : options.tags) {
    size_t equals = tag.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(Code::kInvalid, "--tag {}: a tag is written KEY=VALUE", tag);
    tags.emplace_back(tag.substr(0, equals), tag.substr(equals + 1));
  }
  return tags;
}

Result<int> create_model(const Context& context, const Options& options) {
  auto tags = TRY(tags_of(options));
  auto records = TRY(open_records(context, Create::yes));
  auto model = TRY(records->models()->create(
      {.name = options.name, .description = options.description, .tags = std::move(tags)}));
  return answer(context, to_json(model), model.name);
}

Result<int> rename_model(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  auto model = TRY(records->models()->rename(options.name, options.new_name));
  return answer(context, to_json(model), model.name);
}

Result<int> delete_model(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  auto models = records->models();
  TRY(options.version > 0 ? models->remove_version(options.name, options.version)
                          : models->remove(options.name));
  Json deleted{{"name", options.name}, {"deleted", true}};
  if (options.version > 0) deleted["version"] = std::to_string(options.version);
  return answer(context, deleted, "");
}

Result<int> set_alias(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  TRY(records->models()->set_alias(options.name, options.alias, options.version));
  return answer(
      context,
      {{"name", options.name}, {"alias", options.alias}, {"version", std::to_string(options.version)}}, "");
}

Result<int> delete_alias(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  TRY(records->models()->delete_alias(options.name, options.alias));
  return answer(context, {{"name", options.name}, {"alias", options.alias}, {"deleted", true}}, "");
}

Result<int> transition(const Context& context, const Options& options) {
  auto stage = TRY(tracking::parse_stage(options.stage));
  auto records = TRY(open_records(context));
  auto others = options.archive ? tracking::Others::kArchive : tracking::Others::kStay;
  auto version = TRY(records->models()->transition(options.name, options.version, stage, others));
  return answer(context, to_json(version), std::string(tracking::to_string(version.stage)));
}

// MLflow's clients download a version as a folder; of a single file they would get nothing, without an error.
Result<> check_model_folder(const tracking::RunInfo& run, const artifacts::ArtifactRepository& files,
                            const std::string& path) {
  if (!TRY(files.list(path)).empty()) return {};
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
  std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  for (const auto& file : TRY(files.list(folder)))
    if (file.name == name && !file.is_folder)
      return fail(Code::kInvalid,
                  "'{}' is a file, and clients download a model as a folder: give --path the folder that "
                  "holds it, or "
                  "leave it out for all artifacts of the run",
                  path);
  return fail(Code::kNotFound, "run {} has no artifact '{}'; see `tidemill artifacts list {} -r`", run.id,
              path, run.id);
}

Result<int> register_version(const Context& context, const Options& options) {
  auto tags = TRY(tags_of(options));
  auto records = TRY(open_records(context));
  auto run = TRY(records->run(TRY(full_run_id(*records, options.run_id)))).info;
  auto files = TRY(records->files_at(run.artifact_uri));
  TRY(check_model_folder(run, *files, options.path));
  auto models = records->models();
  auto model = models->model(options.name);
  if (!model && model.error().code != Code::kNotFound) return tl::unexpected<Error>(model.error());
  if (!model) {
    TRY(models->create({.name = options.name, .description = "", .tags = {}}));
    fmt::print(stderr, "made the model {}\n", options.name);
  }
  auto version = TRY(models->create_version(
      {.name = options.name,
       .source = options.path.empty() ? run.artifact_uri : run.artifact_uri + "/" + options.path,
       .storage_location = "",
       .run_id = run.id,
       .run_link = "",
       .model_id = "",
       .description = options.description,
       .tags = std::move(tags)}));
  return answer(context, to_json(version), std::to_string(version.version));
}

using Command = Result<int> (*)(const Context&, const Options&);

// The parts that all subcommands of `models` are made of.
class Subcommands {
 public:
  Subcommands(CLI::App& parent, Context& context)
      : parent_(parent), context_(context), options_(std::make_shared<Options>()) {}

  CLI::App& add(const char* name, const char* help, const char* example, Command command) {
    CLI::App* added = parent_.add_subcommand(name, help);
    added->footer(fmt::format("Example: tidemill models {}", example));
    add_record_options(*added, context_);
    added->callback([&context = context_, options = options_, command] {
      context.action = [&context, options, command] { return command(context, *options); };
    });
    return *added;
  }
  CLI::App& add_for_model(const char* name, const char* help, const char* example, Command command) {
    CLI::App& added = add(name, help, example, command);
    added.add_option("NAME", options_->name, "The model's name")->required();
    return added;
  }
  Options& options() { return *options_; }

 private:
  CLI::App& parent_;
  Context& context_;
  std::shared_ptr<Options> options_;
};

void add_list_options(CLI::App& command, Options& options, int64_t most) {
  command.add_flag("--csv", options.csv, "Comma-separated values");
  command.add_option("-n,--limit", options.limit, "At most this many")
      ->check(CLI::Range(int64_t{1}, most))
      ->capture_default_str();
}

void add_reading(Subcommands& commands) {
  Options& options = commands.options();
  CLI::App& list =
      commands.add("list", "All models, by name", "list -f \"tags.team = 'vision'\"", list_models);
  list.add_option("-f,--filter", options.filter, "MLflow's search language: \"name LIKE 'cifar%'\"");
  list.add_option("-o,--order-by", options.order_by, "\"last_updated_timestamp DESC\"");
  add_list_options(list, options, tracking::kMaxModelResults);
  commands.add_for_model("show", "One model: its newest versions, aliases and tags", "show cifar10 --json",
                         show_model);
  CLI::App& versions = commands.add_for_model("versions", "Versions of a model, the newest first",
                                              "versions cifar10 -n 5", list_versions);
  add_list_options(versions, options, tracking::kMaxVersionResults);
}

void add_description_and_tags(CLI::App& command, Options& options) {
  command.add_option("-d,--description", options.description, "What it is");
  command.add_option("-t,--tag", options.tags, "KEY=VALUE; may be given more than once");
}

void add_changing(Subcommands& commands) {
  Options& options = commands.options();
  CLI::App& create = commands.add_for_model("create", "A model without versions",
                                            "create cifar10 -d \"ten classes\" -t team=vision", create_model);
  add_description_and_tags(create, options);
  CLI::App& rename = commands.add_for_model("rename", "Another name; versions, aliases and tags come along",
                                            "rename cifar10 cifar", rename_model);
  rename.add_option("NEW_NAME", options.new_name, "The name from now on")->required();
  CLI::App& remove =
      commands.add_for_model("delete", "A model with all its versions, or one version; files stay",
                             "delete cifar10 --version 3", delete_model);
  remove.add_option("--version", options.version, "Only this version")->check(CLI::PositiveNumber);
  CLI::App& registering = commands.add_for_model(
      "register", "What a run has made as the next version; prints its number",
      "register cifar10 --run 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f --path model", register_version);
  registering.add_option("--run", options.run_id, "The run's id")->required();
  registering.add_option("--path", options.path, "A folder in its artifacts (default: all of them)");
  add_description_and_tags(registering, options);
}

void add_pointing(Subcommands& commands) {
  Options& options = commands.options();
  CLI::App& set = commands.add_for_model("set-alias", "Points an alias at a version: models:/NAME@ALIAS",
                                         "set-alias cifar10 champion 3", set_alias);
  set.add_option("ALIAS", options.alias, "Letters, digits, - and _")->required();
  set.add_option("VERSION", options.version, "The version's number")->required();
  CLI::App& remove = commands.add_for_model("delete-alias", "Takes an alias away",
                                            "delete-alias cifar10 champion", delete_alias);
  remove.add_option("ALIAS", options.alias, "The alias")->required();
  CLI::App& move =
      commands.add_for_model("transition", "Moves a version to None, Staging, Production or Archived",
                             "transition cifar10 3 production --archive-existing", transition);
  move.add_option("VERSION", options.version, "The version's number")->required();
  move.add_option("STAGE", options.stage, "The stage to enter")->required();
  move.add_flag("--archive-existing", options.archive, "Versions that are in this stage become Archived");
}

}  // namespace

void add_models(CLI::App& app, Context& context) {
  CLI::App* models = app.add_subcommand("models", "The model registry: named models and their versions");
  models->alias("registry");
  models->require_subcommand(1);
  Subcommands commands(*models, context);
  add_reading(commands);
  add_changing(commands);
  add_pointing(commands);
}

}  // namespace tidemill::cli
