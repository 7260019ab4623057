// tidemill reproduce: runs a pipeline again from what was kept of a run, and says what is not as it was.
#include <algorithm>

#include "artifacts/artifact_repository.h"
#include "base/text.h"
#include "cli/run_facts.h"
#include "cli/run_id.h"
#include "cli/run_options.h"
#include "engine/record.h"
#include "engine/snapshot.h"
#include "projects/source.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

constexpr std::string_view kTag = "tidemill.reproduces";

struct ReproduceOptions {
  std::string run;
  bool in_place = false;
  bool dry_run = false;
};

// What is run, and what of it cannot be as it was.
struct Reproduction {
  std::string original;  // the run
  RunOptions options;
  fs::path checkout;  // "": the files as they are now
  std::vector<std::string> notes;
};

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> found;
  if (list.is_array())
    for (const auto& item : list)
      if (item.is_string()) found.push_back(item.get<std::string>());
  return found;
}

// Whether a file or folder that git did not know holds a part of the pipeline.
std::string untracked_part(const Json& record, const fs::path& root) {
  std::vector<fs::path> parts = {json_string(record["pipeline"], "file")};
  for (const auto& [name, project] : record["projects"].items())
    parts.push_back(json_string(project, "folder"));
  for (const auto& path : texts(record["git"]["untracked"])) {
    fs::path untracked = root / path;
    if (!untracked.has_filename()) untracked = untracked.parent_path();  // "folder/"
    for (const auto& part : parts) {
      fs::path inside = part.lexically_relative(untracked);
      if (!inside.empty() && *inside.begin() != "..") return path;
    }
  }
  return "";
}

// Inputs that are no part of the repository come from where they lay.
Result<> bring_inputs(const Json& record, const fs::path& folder, Reproduction& what) {
  const fs::path before = json_string(record["pipeline"], "folder");
  for (const auto& [name, input] : record["pipeline"]["inputs"].items()) {
    fs::path file = json_string(input, "file");
    if (input.contains("url") || input.contains("query") || file.empty() || file.is_absolute()) continue;
    std::error_code error;
    if (fs::exists(folder / file, error)) continue;
    TRY(make_dirs((folder / file).parent_path()));
    fs::copy(before / file, folder / file, fs::copy_options::recursive, error);
    if (error)
      return fail(Code::kNotFound, "input '{}': {} is not there any more", name, (before / file).string());
    what.notes.push_back(
        fmt::format("input '{}' is not in git: {} as it is now", name, (before / file).string()));
  }
  return {};
}

// The work tree as it was, where git has it.
Result<> check_out(const Context& context, const tracking::Run& run, const Json& record, Reproduction& what) {
  if (!record.contains("git")) {
    what.notes.push_back("its folder is in no git repository: its files are used as they are now");
    return {};
  }
  const Json& git = record["git"];
  const fs::path root = json_string(git, "root"), folder = json_string(record["pipeline"], "folder");
  if (std::string part = untracked_part(record, root); !part.empty()) {
    what.notes.push_back(fmt::format("{} was not in git: the files are used as they are now", part));
    return {};
  }
  if (git.contains("diff_complete") && git["diff_complete"] == false) {
    what.notes.push_back(
        "what was not committed was too much to be kept: the files are used as they are now");
    return {};
  }
  TempDir scratch = TRY(TempDir::create());
  fs::path patch;
  if (!json_string(git, "diff_sha256").empty()) {
    patch = scratch.path() / "diff";
    TRY(TRY(context.artifacts_of(run.info))->download(engine::kDiffFile, patch));
  }
  what.checkout = TRY(projects::check_out_anew(root, json_string(git, "commit"), patch));
  const fs::path file = json_string(record["pipeline"], "file");
  fs::path relative = fs::absolute(file).lexically_normal().lexically_relative(root);
  what.options.uri = (what.checkout / relative).string();
  for (const auto& path : texts(git["untracked"]))
    what.notes.push_back(fmt::format("{} was not in git and is not there", path));
  return bring_inputs(record, (what.checkout / relative).parent_path(), what);
}

// What can be seen to be different before anything runs.
void note_surroundings(const Json& record, std::vector<std::string>& notes) {
  auto now = facts_of_record({{"tidemill", TIDEMILL_VERSION}, {"machine", engine::describe_machine()}});
  for (const auto& fact : facts_of_record(record)) {
    if (fact.kind != "machine" && fact.kind != "tool") continue;
    auto same =
        std::find_if(now.begin(), now.end(), [&](const Fact& other) { return other.same_thing(fact); });
    std::string value = same != now.end() ? same->value : "none";
    if (value != fact.value)
      notes.push_back(
          fmt::format("{} {}: it was {}, here it is {}", fact.kind, fact.name, fact.value, value));
  }
}

Result<Reproduction> plan_reproduction(const Context& context, const ReproduceOptions& options) {
  auto store = TRY(context.open_store());
  auto run = TRY(store.run(TRY(full_run_id(store, options.run))));
  if (auto whole = engine::pipeline_run_of(run); !whole.empty()) run = TRY(store.run(whole));
  auto request = TRY(store.run_request(run.info.id));
  Json record = artifact_json(context.artifacts_of(run.info), engine::kRecordFile);
  if (!request || !record.is_object() || !record.contains("pipeline") || !record.contains("projects"))
    return fail(Code::kInvalid,
                "run {} cannot be reproduced: it is no pipeline's run, or from before records were kept",
                run.info.id);
  Reproduction what{
      .original = run.info.id, .options = TRY(parse_request(*request)).options, .checkout = {}, .notes = {}};
  what.options.experiment = TRY(store.experiment(run.info.experiment_id)).name;
  what.options.force = true;
  what.options.registers = false;
  what.options.pipeline_name = json_string(record["pipeline"], "name");
  what.options.tags = {{std::string(kTag), run.info.id}};
  what.options.params.clear();
  for (const auto& [name, value] : record["pipeline"]["params"].items())
    if (value.is_string()) what.options.params.push_back(name + "=" + value.get<std::string>());
  const bool fetched = record.contains("fetched_from");
  if (options.in_place && !fetched)
    what.notes.push_back("the files are used as they are now, as asked for with --in-place");
  else if (!fetched)
    TRY(check_out(context, run, record, what));
  note_surroundings(record, what.notes);
  what.notes.push_back(
      "the caller's environment variables and the values of secrets are not kept: they are those of now");
  return what;
}

// Of a dry run.
std::string to_json(const Reproduction& what) {
  Json params = Json::object();
  for (const auto& param : what.options.params)
    params[param.substr(0, param.find('='))] = param.substr(param.find('=') + 1);
  return dump_json({{"run_id", what.original},
                    {"from", what.checkout.empty() ? "files as they are now" : "git"},
                    {"params", params},
                    {"notes", what.notes}},
                   2) +
         "\n";
}

// What came out differently.
Result<> show_differences(const Context& context, const std::string& original) {
  auto store = TRY(context.open_store());
  auto run = TRY(store.run(original));
  auto again = TRY(store.search_runs({.experiment_ids = {run.info.experiment_id},
                                      .filter = fmt::format("tags.`{}` = '{}'", kTag, original),
                                      .max_results = 1,
                                      .order_by = {"start_time DESC"},
                                      .page_token = {}}));
  if (again.items.empty()) return {};
  auto records = records_of(context, store);
  std::vector<RunFacts> runs;
  for (const std::string& id : {original, again.items[0].info.id})
    runs.push_back(TRY(facts_of(*records, id)));
  auto things = differing(runs);
  // Of git the commit alone says nothing new, as it was checked out.
  std::erase_if(things, [](const Fact& thing) { return thing.kind == "git" || thing.name == "host"; });
  if (things.empty())
    fmt::print(stderr, "\nNothing that is known of the two runs differs.\n");
  else
    TRY(print("\n" + difference_table(runs, things)));
  return {};
}

Result<int> reproduce(const Context& context, const ReproduceOptions& options) {
  Reproduction what = TRY(plan_reproduction(context, options));
  for (const auto& note : what.notes) fmt::print(stderr, "{}\n", note);
  if (options.dry_run && context.json) TRY(print(to_json(what)));
  if (options.dry_run)
    return what.checkout.empty() ? Result<int>(0) : tidemill::remove_all(what.checkout).map([] { return 0; });
  int status = TRY(run(context, what.options, std::nullopt));
  if (!context.json) TRY(show_differences(context, what.original));
  if (what.checkout.empty()) return status;
  if (status == 0)
    TRY(tidemill::remove_all(what.checkout));
  else
    fmt::print(stderr, "its files are in {}, also for `tidemill resume`\n", what.checkout.string());
  return status;
}

}  // namespace

void add_reproduce(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("reproduce", "Run a pipeline again as a run of it was, and say what differs");
  auto options = std::make_shared<ReproduceOptions>();
  command->add_option("RUN", options->run, "The run's id, or that of one of its steps")->required();
  command->add_flag("--in-place", options->in_place, "Use the files as they are now, not as git has them");
  command->add_flag("-n,--dry-run", options->dry_run, "Only say what cannot be the same");
  add_common_options(*command, context);
  command->footer(
      "The commit and what was not committed then are checked out beside the repository; every step runs.\n"
      "Example: tidemill reproduce 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f");
  command->callback(
      [&context, options] { context.action = [&context, options] { return reproduce(context, *options); }; });
}

}  // namespace tidemill::cli
