// tidemill status: how far a pipeline's run is. tidemill ps: what runs now.
#include <poll.h>
#include <unistd.h>

#include <map>

#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/format.h"
#include "cli/run_facts.h"
#include "cli/run_id.h"
#include "cli/run_view.h"
#include "engine/earlier.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "engine/snapshot.h"
#include "sys/live_lines.h"
#include "sys/minded_process.h"
#include "sys/signals.h"

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

Result<StepRow> row_of(tracking::Store& store, tracking::StepRecord record, const fs::path& attempts) {
  StepRow row{.record = std::move(record), .time = {}, .reason = {}};
  row.reason = row.record.reason;
  if (row.record.step_run.empty()) return row;
  auto run = TRY(store.run(row.record.step_run));
  if (row.record.state != engine::to_string(engine::StepState::kReused)) row.time = time_of(run.info);
  if (auto failure = run.tag("tidemill.failure"); !failure.empty()) row.reason = failure;
  if (row.record.state != engine::to_string(engine::StepState::kRunning) || !runner_of(run).empty())
    return row;
  if (engine::is_running(attempts, run.info.id)) {
    row.reason = "goes on without a runner";
  } else if (auto end = read_end(engine::process_record(attempts, run.info.id))) {
    row.reason =
        fmt::format("has ended without a runner: {}; what it has made is taken over by tidemill resume",
                    end->exit.describe());
    row.time = human_duration(end->seconds);
  } else {
    row.reason = "its process is no more";
  }
  return row;
}

Json to_json(const StepRow& row) {
  return {{"step", row.record.step},
          {"state", row.record.state},
          {"attempt", row.record.attempt},
          {"run_id", row.record.step_run},
          {"reason", row.reason}};
}

Result<tracking::Run> pipeline_run(tracking::Store& store, const std::string& id) {
  auto run = TRY(store.run(id));
  if (run.tag("tidemill.pipeline").empty())
    return fail(Code::kInvalid, "run {} is no pipeline's run; `tidemill runs show` tells of it", id);
  return run;
}

Result<int> show_status(const Context& context, const std::string& given) {
  auto store = TRY(context.open_store());
  const std::string id = TRY(full_run_id(store, given));
  auto run = TRY(pipeline_run(store, id));
  const fs::path attempts = engine::attempts_folder(TRY(context.engine_options()).state_dir);
  std::vector<StepRow> rows;
  for (auto& record : in_order(TRY(store.step_records(id)), planned_steps(context.artifacts_of(run.info))))
    rows.push_back(TRY(row_of(store, std::move(record), attempts)));
  if (context.json) {
    Json steps = Json::array();
    for (const auto& row : rows) steps.push_back(to_json(row));
    TRY(print(dump_json({{"run_id", id},
                         {"status", tracking::to_string(run.info.status)},
                         {"outcome", run.tag(engine::kOutcomeTag)},
                         {"runner", runner_of(run)},
                         {"steps", steps}},
                        2) +
              "\n"));
    return 0;
  }
  const bool colour = use_colour(STDOUT_FILENO);
  std::string runner;
  if (run.info.status == RunStatus::kRunning)
    runner =
        runner_of(run).empty() ? "  without a runner; tidemill resume " + id : "  process " + runner_of(run);
  TRY(print(fmt::format("{}  {}  {}{}\n\n", styled(run.info.name, Style::kBold, colour),
                        status_of(run, colour), time_of(run.info), runner)));
  Table table({"STEP", "STATE", "ATTEMPT", "TIME", "BECAUSE"});
  for (const auto& row : rows)
    table.add({row.record.step, row.record.state,
               row.record.attempt > 0 ? std::to_string(row.record.attempt) : "", row.time, row.reason});
  TRY(print(table.to_string()));
  if (run.info.status == RunStatus::kFailed || run.info.status == RunStatus::kKilled)
    fmt::print(stderr, "\nNext:\n  tidemill resume {}\n", id);
  return 0;
}

// A run as it goes on, whoever runs it.
class Following {
 public:
  Following(const Context& context, tracking::Store& store, const engine::Options& engine, tracking::Run run)
      : context_(context),
        store_(store),
        attempts_(engine::attempts_folder(engine.state_dir)),
        artifacts_(artifacts::local_folder(run.info.artifact_uri, engine.artifact_root)),
        run_(std::move(run)),
        watch_(attempts_),
        live_(!context.json && is_terminal(STDERR_FILENO)) {}

  // Until the run ends, or the user has seen enough: false then.
  Result<bool> follow() {
    constexpr int kTickMs = 300;
    for (;;) {
      const bool goes_on = is_running();  // asked before its steps are read
      if (planned_.empty()) planned_ = planned_steps(context_.artifacts_of(run_.info));
      auto steps = in_order(TRY(store_.step_records(run_.info.id)), planned_);
      TRY(live_ ? draw(steps) : print_changes(steps));
      if (goes_on) {
        pollfd interrupt{interrupt_fd(), POLLIN, 0};
        poll(&interrupt, 1, kTickMs);
      }
      if (goes_on && !interrupted()) {
        run_ = TRY(store_.run(run_.info.id));
        continue;
      }
      if (live_) lines_.draw("", {});
      return !goes_on;
    }
  }

 private:
  bool is_running() const { return run_.info.status == RunStatus::kRunning && !runner_of(run_).empty(); }

  Result<> draw(const std::vector<tracking::StepRecord>& steps) {
    const Screen screen{terminal_width(STDERR_FILENO), terminal_height(STDERR_FILENO),
                        use_colour(STDERR_FILENO)};
    RunView view{.running = {}, .counts = {}, .seconds = seconds_since(run_.info.start_time)};
    for (const auto& step : steps) {
      const engine::StepState state = engine::step_state(step.state);
      ++view.counts.of(state);
      if (state != engine::StepState::kRunning) continue;
      RunningStep running{.name = step.step, .progress = {}, .load = {}, .last_lines = {}};
      if (view.running.size() < static_cast<size_t>(screen.height)) TRY(look_at(step, running));
      view.running.push_back(std::move(running));
    }
    const size_t log_lines = log_lines_shown(view.running.size(), screen);
    for (auto& running : view.running)
      if (running.last_lines.size() > log_lines)
        running.last_lines.erase(running.last_lines.begin(),
                                 running.last_lines.end() - static_cast<std::ptrdiff_t>(log_lines));
    lines_.draw("", lines_of(view, screen));
    return {};
  }

  Result<> look_at(const tracking::StepRecord& step, RunningStep& running) {
    auto run = TRY(store_.run(step.step_run));
    running.seconds = seconds_since(run.info.start_time);
    running.progress = watch_.told(step.step_run);
    if (!running.progress) running.progress = engine::progress_of(run, {});
    running.load = watch_.load(step.step_run);
    if (artifacts_)
      running.last_lines =
          engine::last_lines(engine::log_file(*artifacts_, step.step, step.attempt), kLogLines);
    return {};
  }

  Result<> print_changes(const std::vector<tracking::StepRecord>& steps) {
    for (const auto& step : steps) {
      std::string now = fmt::format("{} {}", step.state, step.attempt);
      std::string& before = shown_[step.step];
      const bool is_waiting = engine::step_state(step.state) == engine::StepState::kWaiting;
      if (std::exchange(before, now) == now || (is_waiting && step.reason.empty())) continue;
      auto row = TRY(row_of(store_, step, attempts_));
      if (context_.json)
        TRY(print(dump_json(to_json(row)) + "\n"));
      else
        fmt::print(stderr, "  {}  {}{}\n", step.step, step.state,
                   row.reason.empty() ? "" : ": " + row.reason);
    }
    return {};
  }

  static double seconds_since(int64_t ms) { return static_cast<double>(now_ms() - ms) / 1000; }

  static constexpr size_t kLogLines = 3;
  const Context& context_;
  tracking::Store& store_;
  const fs::path attempts_;
  const std::optional<fs::path> artifacts_;
  tracking::Run run_;
  std::vector<std::string> planned_;
  engine::StepWatch watch_;
  const bool live_;
  LiveLines lines_{STDERR_FILENO};
  std::map<std::string, std::string> shown_;  // the state of each step
};

Result<int> follow_run(const Context& context, const std::string& id) {
  {
    auto store = TRY(context.open_store());
    auto run = TRY(pipeline_run(store, TRY(full_run_id(store, id))));
    const bool ended = TRY(Following(context, store, TRY(context.engine_options()), std::move(run)).follow());
    if (!ended) return exit_code(Code::kCancelled);
  }
  return show_status(context, id);
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
    const std::string whole = engine::pipeline_run_of(run);
    if (runner.empty()) runner = "none; tidemill resume " + (whole.empty() ? run.info.id : whole);
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
  auto follow = std::make_shared<bool>(false);
  command->add_option("RUN", *id, "The run's id")->required();
  command->add_flag("-f,--follow", *follow, "Show it until it ends; Ctrl-C ends only the looking on");
  add_common_options(*command, context);
  command->footer(
      "Examples:\n"
      "  tidemill status 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f\n"
      "  tidemill status -f 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f\n"
      "With -f --json, an object a line for each step that changes, at last the whole.");
  command->callback([&context, id, follow] {
    context.action = [&context, id, follow] {
      return *follow ? follow_run(context, *id) : show_status(context, *id);
    };
  });
}

void add_ps(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("ps", "What runs now, and the processes that run it");
  add_common_options(*command, context);
  command->footer("Example: tidemill ps");
  command->callback([&context] { context.action = [&context] { return list_running(context); }; });
}

}  // namespace tidemill::cli
