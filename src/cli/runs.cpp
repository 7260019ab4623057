#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/csv.h"
#include "cli/format.h"
#include "cli/records.h"
#include "cli/run_facts.h"
#include "cli/run_id.h"
#include "engine/record.h"
#include "engine/snapshot.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct ListOptions {
  std::string experiment;
  std::string filter;
  std::vector<std::string> order_by;
  int64_t limit = 20;
  tracking::ViewType view = tracking::ViewType::kActiveOnly;
  bool csv = false;
};

// "" stands for all of them.
Result<std::map<std::string, std::string>> experiment_names(Records& records, const ListOptions& options) {
  std::map<std::string, std::string> names;
  if (options.experiment.empty()) {
    tracking::SearchExperiments search{.view = options.view};
    if (options.view != tracking::ViewType::kActiveOnly) search.view = tracking::ViewType::kAll;
    for (const auto& experiment : TRY(all_experiments(records, std::move(search))))
      names[experiment.id] = experiment.name;
  } else {
    auto experiment = TRY(find_experiment(records, options.experiment));
    names[experiment.id] = experiment.name;
  }
  return names;
}

Result<int> list_runs(const Context& context, const ListOptions& options) {
  auto records = TRY(open_records(context));
  auto experiments = TRY(experiment_names(*records, options));
  tracking::SearchRuns search{.filter = options.filter,
                              .view = options.view,
                              .max_results = options.limit,
                              .order_by = options.order_by,
                              .page_token = ""};
  for (const auto& [id, name] : experiments) search.experiment_ids.push_back(id);
  auto page = TRY(records->search_runs(search));
  if (options.csv) {
    TRY(print(csv_of(page.items)));
    return 0;
  }
  if (context.json) {
    Json runs = Json::array();
    for (const auto& run : page.items) runs.push_back(to_json(run));
    TRY(print(dump_json({{"runs", runs}}, 2) + "\n"));
    return 0;
  }
  Table table({"RUN", "NAME", "EXPERIMENT", "STATUS", "STARTED", "TIME"});
  const bool colour = use_colour(STDOUT_FILENO);
  for (const auto& run : page.items) {
    std::string name = run.tag("mlflow.parentRunId").empty() ? run.info.name : "  " + run.info.name;
    table.add({run.info.id, name, experiments[run.info.experiment_id], status_of(run, colour),
               format_local(run.info.start_time), duration_of(run.info)});
  }
  TRY(print(table.to_string()));
  if (page.items.empty()) fmt::print(stderr, "no runs\n");
  if (!page.next_page_token.empty()) fmt::print(stderr, "the newest {}; more with --limit\n", options.limit);
  return 0;
}

// Names and values so short that each row takes one line of a terminal.
void fit(std::vector<std::vector<std::string>>& rows, std::string_view title, int width) {
  size_t names = title.size();
  for (auto& row : rows) {
    for (std::string& cell : row) {
      for (char& c : cell)
        if (c == '\n' || c == '\r') c = ' ';
      cell = plain_line(cell);
    }
    row[0] = cut_to_width(row[0], width / 2);
    names = std::max(names, display_width(row[0]));
  }
  for (auto& row : rows) row[1] = cut_to_width(row[1], width - static_cast<int>(names) - 2);
}

void add_section(std::string& out, std::string_view title, std::vector<std::vector<std::string>> rows) {
  if (rows.empty()) return;
  if (is_terminal(STDOUT_FILENO)) fit(rows, title, terminal_width(STDOUT_FILENO));
  Table table({std::string(title), ""});
  for (auto& row : rows) table.add(std::move(row));
  out += "\n" + table.to_string();
}

// With the parameters that it went on with in their place.
std::vector<std::vector<std::string>> params_of(const tracking::Run& run) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : engine::params_now(run)) {
    const std::string before(run.param(key));
    std::string shown = value;
    if (before != value) shown += "  since it was resumed" + (before.empty() ? "" : "; before: " + before);
    rows.push_back({key, std::move(shown)});
  }
  return rows;
}

// The steps of a pipeline's run, and why each ran or did not.
std::string describe_steps(const std::vector<tracking::StepRecord>& steps) {
  Table table({"STEP", "STATE", "RUN", "BECAUSE"});
  for (const auto& step : steps) table.add({step.step, step.state, step.step_run, step.reason});
  return steps.empty() ? "" : "\n" + table.to_string();
}

std::string describe(const tracking::Run& run, const std::vector<tracking::StepRecord>& steps) {
  std::string out =
      fmt::format("{}  {}  {}\n", styled(run.info.name, Style::kBold, use_colour(STDOUT_FILENO)),
                  status_of(run, use_colour(STDOUT_FILENO)), run.info.id);
  std::string time = duration_of(run.info);
  out += fmt::format("experiment {}, started {}{}\n", run.info.experiment_id,
                     format_local(run.info.start_time), time.empty() ? "" : ", took " + time);
  out += fmt::format("artifacts  {}\n", run.info.artifact_uri);
  if (const auto other = run.tag(tracking::kStepsOfTag); !other.empty())
    out += fmt::format("steps      those of run {}, whose artifacts hold its graph: {}\n", other,
                       engine::kDiagramFile);
  out += describe_steps(steps);
  std::vector<std::vector<std::string>> metrics, tags;
  for (const auto& metric : run.metrics) metrics.push_back({metric.key, number(metric.value)});
  for (const auto& [key, value] : run.tags) tags.push_back({key, value});
  add_section(out, "PARAMETER", params_of(run));
  add_section(out, "METRIC", std::move(metrics));
  add_section(out, "TAG", std::move(tags));
  return out;
}

Json steps_json(const std::vector<tracking::StepRecord>& steps) {
  Json list = Json::array();
  for (const auto& step : steps)
    list.push_back({{"step", step.step},
                    {"state", step.state},
                    {"attempt", step.attempt},
                    {"run_id", step.step_run},
                    {"reason", step.reason}});
  return list;
}

Result<int> show_run(const Context& context, const std::string& given) {
  auto records = TRY(open_records(context));
  auto run = TRY(records->run(TRY(full_run_id(*records, given))));
  std::vector<tracking::StepRecord> steps;
  if (!run.tag("tidemill.pipeline").empty()) steps = TRY(records->steps(run));
  if (!steps.empty())
    steps = in_order(std::move(steps), planned_steps(records->files_at(run.info.artifact_uri)));
  Json json = to_json(run);
  if (!steps.empty()) json["steps"] = steps_json(steps);
  TRY(print(context.json ? dump_json(json, 2) + "\n" : describe(run, steps)));
  return 0;
}

// As `mlflow runs describe` prints it.
Result<int> describe_run(const Context& context, const std::string& given) {
  auto records = TRY(open_records(context));
  auto run = TRY(records->run(TRY(full_run_id(*records, given))));
  Json json = to_json(run);
  Json data = Json::object();
  for (const char* part : {"metrics", "params", "tags"}) {
    data[part] = std::move(json[part]);
    json.erase(part);
  }
  TRY(print(dump_json({{"info", json}, {"data", data}}, 2) + "\n"));
  return 0;
}

}  // namespace

void add_runs(CLI::App& app, Context& context) {
  CLI::App* runs = app.add_subcommand("runs", "Runs that were recorded");
  runs->require_subcommand(1);

  auto options = std::make_shared<ListOptions>();
  CLI::App* list = runs->add_subcommand("list", "Runs, the newest first");
  list->add_option("-e,--experiment,--experiment-id", options->experiment,
                   "Only of this experiment (name or id)")
      ->envname("MLFLOW_EXPERIMENT_ID");
  list->add_option("-f,--filter", options->filter, "MLflow's search language: \"metrics.accuracy > 0.8\"");
  list->add_option("-o,--order-by", options->order_by, "\"metrics.accuracy DESC\"");
  list->add_option("-n,--limit", options->limit, "At most this many")
      ->check(CLI::Range(int64_t{1}, int64_t{50'000}))
      ->capture_default_str();
  add_view_option(*list, options->view);
  CLI::Option* csv =
      list->add_flag("--csv", options->csv, "Comma-separated values with all parameters, metrics and tags");
  add_record_options(*list, context);
  csv->excludes("--json");
  list->footer(
      "Example: tidemill runs list -e cifar10 -f \"metrics.accuracy > 0.7\" -o \"metrics.accuracy DESC\"");
  list->callback(
      [&context, options] { context.action = [&context, options] { return list_runs(context, *options); }; });

  CLI::App* show =
      runs->add_subcommand("show", "Parameters, metrics and tags of one run; of a pipeline's also its steps");
  auto shown = add_run_id(*show);
  add_record_options(*show, context);
  show->footer(
      "On a terminal, values that are too long for a line are cut; --json, or `| cat`, shows all of them.\n"
      "Example: tidemill runs show 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f --json");
  show->callback(
      [&context, shown] { context.action = [&context, shown] { return show_run(context, *shown); }; });

  CLI::App* described =
      runs->add_subcommand("describe", "One run as JSON, in the form of `mlflow runs describe`");
  auto id = add_run_id(*described);
  add_record_options(*described, context);
  described->footer("Example: tidemill runs describe --run-id 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f");
  described->callback(
      [&context, id] { context.action = [&context, id] { return describe_run(context, *id); }; });

  add_run_changes(*runs, context);
  add_diff(*runs, context);
  add_compare(*runs, context);
  add_watch(*runs, context);
}

}  // namespace tidemill::cli
