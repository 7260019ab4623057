// tidemill tune: runs a pipeline with one combination of parameters after the other until its gates are
// passed.
#include "base/id.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/run_facts.h"
#include "cli/run_options.h"
#include "config/pipeline_file.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

constexpr std::string_view kTag = "tidemill.tune";
constexpr size_t kMostCombinations = 10'000;

struct TuneOptions {
  RunOptions run;
  std::vector<std::string> grid;  // NAME=VALUE,VALUE
  int most_runs = 100;
  std::string budget;  // "2h"; "": none
};

struct Trial {
  config::Arguments values;
  std::string run_id;
  std::vector<std::string> gates;     // "train: closed: accuracy 0.6 is below 0.7"
  std::vector<std::string> failures;  // of steps for another reason, "train: exit status 1"
  bool passed = false;
};

std::string shown(const config::Arguments& values) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : values) parts.push_back(name + "=" + value);
  return join(parts, ", ");
}

// Each with each, the last name changing first.
Result<std::vector<config::Arguments>> combinations(const config::Pipeline& pipeline,
                                                    const std::vector<std::string>& grid) {
  std::vector<config::Arguments> all = {{}};
  for (const auto& text : grid)
    if (text.find('=') == std::string::npos)
      return fail(Code::kInvalid, "--grid: '{}' names no values; use --grid NAME=VALUE,VALUE", text);
  for (const auto& [name, list] : TRY(read_params(grid))) {
    const config::Parameter* parameter = config::find_parameter(pipeline.parameters, name);
    if (parameter == nullptr)
      return fail(Code::kInvalid, "--grid: {} has no parameter '{}'{}", pipeline.file, name,
                  did_you_mean(name, config::names_of(pipeline.parameters)));
    std::vector<config::Arguments> longer;
    for (const auto& combination : all)
      for (const auto& value : split(list, ',')) {
        std::string text(trim(value));
        TRY_IN("--grid", config::check_value(*parameter, text));
        longer.push_back(combination);
        longer.back().emplace_back(name, std::move(text));
      }
    all = std::move(longer);
    if (all.size() > kMostCombinations)
      return fail(Code::kInvalid, "--grid: more than {} combinations", kMostCombinations);
  }
  return all;
}

// What became of the gates of the run that carries these tags.
Result<> learn(const Context& context, const std::string& tune_id, const std::string& experiment,
               Trial& trial) {
  auto store = TRY(context.open_store());
  auto known = TRY(store.experiment_by_name(experiment));
  auto found = TRY(store.search_runs({.experiment_ids = {known.id},
                                      .filter = fmt::format("tags.`{}` = '{}'", kTag, tune_id),
                                      .max_results = 1,
                                      .order_by = {"start_time DESC"},
                                      .page_token = {}}));
  if (found.items.empty())
    return fail(Code::kInternal, "the run of {} is not in the store", shown(trial.values));
  trial.run_id = found.items[0].info.id;
  for (const auto& step : TRY(step_runs(*records_of(context, store), found.items[0]))) {
    std::string gate(step.tag("tidemill.gate"));
    if (!gate.empty()) trial.gates.push_back(fmt::format("{}: {}", step.tag("tidemill.step"), gate));
    if (step.info.status == tracking::RunStatus::kFinished || gate.starts_with("closed: ")) continue;
    const std::string failure =
        fmt::format("{}: {}", step.tag("tidemill.step"), step.tag("tidemill.failure"));
    // How long it takes, and how much it needs, other parameters may change.
    const auto kind = step.tag("tidemill.failure_kind");
    (kind == "timeout" || kind == "memory" ? trial.gates : trial.failures).push_back(failure);
  }
  return {};
}

Result<> show(const Context& context, const std::vector<Trial>& trials, bool passed) {
  if (context.json) {
    Json list = Json::array();
    for (const auto& trial : trials) {
      Json values = Json::object();
      for (const auto& [name, value] : trial.values) values[name] = value;
      list.push_back(
          {{"run_id", trial.run_id}, {"params", values}, {"gates", trial.gates}, {"passed", trial.passed}});
    }
    return print(dump_json({{"event", "tune_finished"}, {"passed", passed}, {"runs", list}}) + "\n");
  }
  Table table({"RUN", "PARAMETERS", "GATES"});
  for (const auto& trial : trials)
    table.add({trial.run_id.substr(0, 8), shown(trial.values), join(trial.gates, "; ")});
  return print("\n" + table.to_string());
}

bool has_gate(const config::Pipeline& pipeline) {
  return std::any_of(pipeline.steps.begin(), pipeline.steps.end(), [](const auto& step) {
    return step.settings->gate || (step.inner != nullptr && has_gate(*step.inner));
  });
}

Result<config::Pipeline> pipeline_with_gates(const RunOptions& options) {
  auto file = pipeline_file(options.uri);
  if (!file) return fail(Code::kInvalid, "{} is neither a pipeline.yaml nor a folder with one", options.uri);
  auto pipeline = TRY(config::load_pipeline(*file));
  if (has_gate(pipeline)) return pipeline;
  return fail(Code::kInvalid, "{} has no step with a gate: nothing would say when to stop", file->string());
}

Result<int> tune(const Context& context, const TuneOptions& options) {
  auto pipeline = TRY(pipeline_with_gates(options.run));
  const auto grid = TRY(combinations(pipeline, options.grid));
  std::optional<double> seconds;
  if (!options.budget.empty())
    seconds = static_cast<double>(TRY(parse_age("--budget", options.budget))) / 1000;
  const std::string tune_id = new_run_id();
  const std::string experiment =
      options.run.experiment.empty() ? pipeline.experiment : options.run.experiment;
  Stopwatch watch;
  std::vector<Trial> trials;
  std::string stopped_by;
  for (const auto& values : grid) {
    if (trials.size() >= static_cast<size_t>(options.most_runs))
      stopped_by = fmt::format("--max-runs {}", options.most_runs);
    else if (seconds && !trials.empty() && watch.seconds() >= *seconds)
      stopped_by = "--budget " + options.budget;
    if (!stopped_by.empty()) break;
    fmt::print(stderr, "{} of {}: {}\n", trials.size() + 1, grid.size(), shown(values));
    RunOptions one{.uri = options.run.uri,
                   .params = options.run.params,
                   .experiment = experiment,
                   .max_parallel = options.run.max_parallel};
    for (const auto& [name, value] : values) one.params.push_back(name + "=" + value);
    one.tags = {{std::string(kTag), tune_id}};
    int status = TRY(run(context, one, std::nullopt));
    if (status == exit_code(Code::kCancelled)) return status;
    Trial& trial = trials.emplace_back(Trial{.values = values, .run_id = "", .gates = {}, .failures = {}});
    trial.passed = status == 0;
    TRY(learn(context, tune_id, experiment, trial));
    if (trial.passed || !trial.failures.empty()) break;
  }
  const bool passed = !trials.empty() && trials.back().passed;
  TRY(show(context, trials, passed));
  if (passed) return 0;
  if (!trials.empty() && !trials.back().failures.empty())
    return fail(Code::kUnavailable, "stopped, as no other parameters would help: {}",
                join(trials.back().failures, "; "));
  fmt::print(stderr, "no combination has passed the gate{}\n",
             stopped_by.empty()
                 ? ""
                 : fmt::format("; {} were not tried because of {}", grid.size() - trials.size(), stopped_by));
  return 1;
}

}  // namespace

void add_tune(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("tune", "Run a pipeline with other parameters until its gate is passed");
  auto options = std::make_shared<TuneOptions>();
  command->add_option("PATH", options->run.uri, "A pipeline.yaml, or a folder with one")->required();
  command
      ->add_option("-g,--grid", options->grid,
                   "A parameter and its values, NAME=VALUE,VALUE; repeatable: each with each")
      ->required()
      ->allow_extra_args(false);
  command
      ->add_option("-P,--param-list", options->run.params, "A parameter for all runs, NAME=VALUE; repeatable")
      ->allow_extra_args(false);
  command->add_option("--max-runs", options->most_runs, "At most so many runs")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command->add_option("--budget", options->budget, "Start no run after this time: 90m, 2h30m");
  command->add_option("--experiment-name", options->run.experiment, "Record under this experiment");
  command->add_option("--max-parallel", options->run.max_parallel, "Steps at a time")
      ->check(CLI::Range(1, 1024));
  add_common_options(*command, context);
  command->footer(
      "Steps that do not depend on the parameters are reused from run to run.\n"
      "Example: tidemill tune examples/cifar10 -P least_accuracy=0.7 --grid learning_rate=0.001,0.002,0.004 "
      "--budget 1h");
  command->callback(
      [&context, options] { context.action = [&context, options] { return tune(context, *options); }; });
}

}  // namespace tidemill::cli
