// tidemill runs create, delete, restore.
#include "base/text.h"
#include "cli/caller.h"
#include "cli/format.h"
#include "cli/records.h"
#include "cli/run_id.h"
#include "engine/provenance.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::RunStatus;

struct NewRun {
  std::string experiment_id, experiment_name;
  std::string name, description, parent;
  std::vector<std::string> tags;
  std::string status = "finished";
};

RunStatus status_of(const NewRun& wanted) {
  std::string name = to_lower(wanted.status);
  if (name == "failed") return RunStatus::kFailed;
  return name == "killed" ? RunStatus::kKilled : RunStatus::kFinished;
}

Result<std::vector<tracking::KeyValue>> tags_of(const NewRun& wanted) {
  std::vector<tracking::KeyValue> tags{{"mlflow.user", engine::user_name()}};
  if (!wanted.description.empty()) tags.emplace_back("mlflow.note.content", wanted.description);
  if (!wanted.parent.empty()) tags.emplace_back("mlflow.parentRunId", wanted.parent);
  for (const std::string& tag : wanted.tags) {
    size_t equals = tag.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(Code::kInvalid, "--tags {}: a tag is written KEY=VALUE", tag);
    tags.emplace_back(tag.substr(0, equals), tag.substr(equals + 1));
  }
  return tags;
}

// By name it is made when there is none, as MLflow does.
Result<std::string> experiment_of(Records& records, NewRun wanted) {
  if (wanted.experiment_id.empty() && wanted.experiment_name.empty()) {
    wanted.experiment_id = variable("MLFLOW_EXPERIMENT_ID");
    if (wanted.experiment_id.empty()) wanted.experiment_name = variable("MLFLOW_EXPERIMENT_NAME");
  }
  if (wanted.experiment_id.empty() == wanted.experiment_name.empty())
    return fail(Code::kInvalid, "give --experiment-id or --experiment-name");
  if (!wanted.experiment_id.empty()) return wanted.experiment_id;
  auto found = records.experiment_by_name(wanted.experiment_name);
  if (found) return found->id;
  if (found.error().code != Code::kNotFound) return tl::unexpected<Error>(std::move(found).error());
  return records.create_experiment(wanted.experiment_name, "");
}

Result<int> create(const Context& context, NewRun wanted) {
  tracking::CreateRun run{.name = wanted.name, .user = engine::user_name()};
  wanted.parent = TRY(full_run_id(context, wanted.parent));
  run.tags = TRY(tags_of(wanted));
  auto records = TRY(open_records(context, Create::yes));
  run.experiment_id = TRY(experiment_of(*records, wanted));
  if (!wanted.parent.empty()) TRY(records->run(wanted.parent));
  std::string id = TRY(records->create_run(run)).info.id;
  TRY(records->end_run(id, status_of(wanted)));
  TRY(print(context.json ? dump_json(to_json(TRY(records->run(id))), 2) + "\n" : id + "\n"));
  return 0;
}

Result<int> answer(const Context& context, const std::string& id, const char* stage) {
  TRY(print(context.json ? dump_json({{"run_id", id}, {"lifecycle_stage", stage}}, 2) + "\n" : id + "\n"));
  return 0;
}

Result<int> remove(const Context& context, const std::string& given) {
  const std::string id = TRY(full_run_id(context, given));
  TRY(TRY(open_records(context))->delete_run(id));
  return answer(context, id, "deleted");
}

Result<int> restore(const Context& context, const std::string& given) {
  const std::string id = TRY(full_run_id(context, given));
  TRY(TRY(open_records(context))->restore_run(id));
  return answer(context, id, "active");
}

void add_create(CLI::App& runs, Context& context) {
  CLI::App* command = runs.add_subcommand("create", "Records a run that is over; prints its id");
  auto wanted = std::make_shared<NewRun>();
  command->add_option("--experiment-id", wanted->experiment_id,
                      "The experiment's id (also MLFLOW_EXPERIMENT_ID)");
  command->add_option("--experiment-name", wanted->experiment_name,
                      "Its name instead (also MLFLOW_EXPERIMENT_NAME); it is made when there is none");
  command->add_option("--run-name", wanted->name, "The run's name (default: one is made up)");
  command->add_option("--description", wanted->description, "What it is");
  command->add_option("-t,--tags", wanted->tags, "KEY=VALUE; may be given more than once");
  command->add_option("--status", wanted->status, "How it ended: finished, failed or killed")
      ->check(CLI::IsMember({"finished", "failed", "killed"}, CLI::ignore_case))
      ->capture_default_str();
  command->add_option("--parent-run-id", wanted->parent, "Shown below this run");
  add_record_options(*command, context);
  command->footer(
      "Example: tidemill runs create --experiment-name cifar10 --run-name by-hand -t team=vision");
  command->callback(
      [&context, wanted] { context.action = [&context, wanted] { return create(context, *wanted); }; });
}

void add_change(CLI::App& runs, Context& context, const char* name, const char* help,
                Result<int> (*change)(const Context&, const std::string&)) {
  CLI::App* command = runs.add_subcommand(name, help);
  auto id = add_run_id(*command);
  add_record_options(*command, context);
  command->footer(fmt::format("Example: tidemill runs {} 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f", name));
  command->callback(
      [&context, id, change] { context.action = [&context, id, change] { return change(context, *id); }; });
}

}  // namespace

void add_run_changes(CLI::App& runs, Context& context) {
  add_create(runs, context);
  add_change(runs, context, "delete", "Hides a run, until it is restored; see `tidemill gc`", remove);
  add_change(runs, context, "restore", "Brings a deleted run back", restore);
}

}  // namespace tidemill::cli
