// tidemill status: how far a pipeline's run is. tidemill ps: what runs now.
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "engine/earlier.h"
#include "engine/provenance.h"
#include "sys/minded_process.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::RunStatus;

std::string time_of(const tracking::RunInfo& run) {
  return run.end_time ? duration_of(run)
                      : human_duration(static_cast<double>(now_ms() - run.start_time) / 1000);
}

// "1234", the process that runs it; "" when that is no more.
std::string runner_of(const tracking::Run& run) {
  std::string_view runner = run.tag(engine::kRunnerTag);
  return engine::runner_is_alive(runner) ? split(runner, ':')[1] : "";
}

struct StepRow {
  tracking::StepRecord record;
  std::string time, reason;
};

Result<std::vector<StepRow>> step_rows(tracking::Store& store, const std::string& run_id,
                                       const fs::path& attempts) {
  std::vector<StepRow> rows;
  for (auto& record : TRY(store.step_records(run_id))) {
    StepRow row{.record = std::move(record), .time = {}, .reason = {}};
    row.reason = row.record.reason;
    if (!row.record.step_run.empty()) {
      auto run = TRY(store.run(row.record.step_run));
      if (row.record.state != engine::to_string(engine::StepState::kReused)) row.time = time_of(run.info);
      if (auto failure = run.tag("tidemill.failure"); !failure.empty()) row.reason = failure;
      if (row.record.state == engine::to_string(engine::StepState::kRunning) && runner_of(run).empty())
        row.reason =
            engine::is_running(attempts, run.info.id) ? "goes on without a runner" : "its process is no more";
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json to_json(const StepRow& row) {
  return {{"step", row.record.step},
          {"state", row.record.state},
          {"attempt", row.record.attempt},
          {"run_id", row.record.step_run},
          {"reason", row.reason}};
}

Result<int> show_status(const Context& context, const std::string& id) {
  auto store = TRY(context.open_store());
  auto run = TRY(store.run(id));
  if (run.tag("tidemill.pipeline").empty())
    return fail(Code::kInvalid, "run {} is no pipeline's run; `tidemill runs show` tells of it", id);
  auto rows = TRY(step_rows(store, id, engine::attempts_folder(TRY(context.engine_options()).state_dir)));
  if (context.json) {
    Json steps = Json::array();
    for (const auto& row : rows) steps.push_back(to_json(row));
    TRY(print(dump_json({{"run_id", id},
                         {"status", tracking::to_string(run.info.status)},
                         {"runner", runner_of(run)},
                         {"steps", steps}},
                        2) +
              "\n"));
    return 0;
  }
  const bool colour = use_colour(STDOUT_FILENO);
  std::string runner = run.info.status == RunStatus::kRunning ? "  process " + runner_of(run) : "";
  TRY(print(fmt::format("{}  {}  {}{}\n\n", styled(run.info.name, Style::kBold, colour),
                        coloured(run.info.status, colour), time_of(run.info), runner)));
  Table table({"STEP", "STATE", "ATTEMPT", "TIME", "BECAUSE"});
  for (const auto& row : rows)
    table.add({row.record.step, row.record.state,
               row.record.attempt > 0 ? std::to_string(row.record.attempt) : "", row.time, row.reason});
  TRY(print(table.to_string()));
  if (run.info.status == RunStatus::kFailed || run.info.status == RunStatus::kKilled)
    fmt::print(stderr, "\nNext:\n  tidemill resume {}\n", id);
  return 0;
}

Result<int> list_running(const Context& context) {
  auto store = TRY(context.open_store());
  auto runs = TRY(store.running_runs_with_tag(engine::kRunnerTag));
  if (context.json) {
    Json list = Json::array();
    for (const auto& run : runs)
      list.push_back({{"run_id", run.info.id},
                      {"name", run.info.name},
                      {"parent", run.tag("mlflow.parentRunId")},
                      {"start_time", run.info.start_time},
                      {"runner", runner_of(run)}});
    TRY(print(dump_json({{"runs", list}}, 2) + "\n"));
    return 0;
  }
  Table table({"RUN", "NAME", "STARTED", "TIME", "RUNNER"});
  for (const auto& run : runs) {
    std::string parent(run.tag("mlflow.parentRunId")), runner = runner_of(run);
    if (runner.empty()) runner = "none; tidemill resume " + parent;
    table.add({run.info.id, parent.empty() ? run.info.name : "  " + run.info.name,
               format_local(run.info.start_time), time_of(run.info), runner});
  }
  TRY(print(table.to_string()));
  if (runs.empty()) fmt::print(stderr, "nothing runs\n");
  return 0;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("status", "How far a pipeline's run is, step by step");
  auto id = std::make_shared<std::string>();
  command->add_option("RUN", *id, "The run's id")->required();
  add_common_options(*command, context);
  command->footer("Example: tidemill status 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f");
  command->callback(
      [&context, id] { context.action = [&context, id] { return show_status(context, *id); }; });
}

void add_ps(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("ps", "What runs now, and the processes that run it");
  add_common_options(*command, context);
  command->footer("Example: tidemill ps");
  command->callback([&context] { context.action = [&context] { return list_running(context); }; });
}

}  // namespace tidemill::cli
