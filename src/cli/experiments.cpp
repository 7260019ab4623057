// tidemill experiments: the commands of `mlflow experiments`.
#include <unistd.h>

#include "base/time.h"
#include "cli/commands.h"
#include "cli/csv.h"
#include "cli/format.h"
#include "cli/records.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::Experiment;

struct Options {
  std::string experiment;  // id or name
  std::string id, name;    // -x, -n
  std::string new_name, location;
  tracking::ViewType view = tracking::ViewType::kActiveOnly;
  std::string filter;
  std::optional<size_t> limit;
  bool csv = false;
  std::string output;
};

Result<Experiment> chosen(Records& records, const Options& options) {
  int ways = !options.experiment.empty() + !options.id.empty() + !options.name.empty();
  if (ways != 1) return fail(Code::kInvalid, "name one experiment, by its id or its name");
  if (!options.id.empty()) return records.experiment(options.id);
  return find_experiment(records, options.name.empty() ? options.experiment : options.name);
}

// What a command made or changed: JSON when asked for, else only the word that scripts go on with.
Result<int> answer(const Context& context, Records& records, const std::string& id) {
  if (!context.json) {
    TRY(print(id + "\n"));
    return 0;
  }
  Experiment experiment = TRY(records.experiment(id));
  TRY(print(dump_json(to_json(experiment), 2) + "\n"));
  return 0;
}

std::string as_csv(const std::vector<Experiment>& experiments) {
  std::string out = csv_line(
      {"experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"});
  for (const Experiment& experiment : experiments)
    out += csv_line({experiment.id, experiment.name, experiment.artifact_location,
                     std::string(tracking::to_string(experiment.lifecycle)), format_utc(experiment.created),
                     format_utc(experiment.updated)});
  return out;
}

std::string as_table(const std::vector<Experiment>& experiments, bool with_stage) {
  std::vector<std::string> header{"ID", "NAME", "CREATED", "ARTIFACTS"};
  if (with_stage) header.insert(header.begin() + 2, "STAGE");
  Table table(header);
  for (const Experiment& experiment : experiments) {
    std::vector<std::string> row{experiment.id, experiment.name, format_local(experiment.created),
                                 experiment.artifact_location};
    if (with_stage) row.insert(row.begin() + 2, std::string(tracking::to_string(experiment.lifecycle)));
    table.add(std::move(row));
  }
  return table.to_string();
}

Result<int> list(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  tracking::SearchExperiments search{.filter = options.filter, .view = options.view};
  auto experiments = TRY(all_experiments(*records, std::move(search)));
  if (options.limit && experiments.size() > *options.limit) experiments.resize(*options.limit);
  if (options.csv) {
    TRY(print(as_csv(experiments)));
  } else if (context.json) {
    Json json = Json::array();
    for (const auto& experiment : experiments) json.push_back(to_json(experiment));
    TRY(print(dump_json({{"experiments", json}}, 2) + "\n"));
  } else {
    TRY(print(as_table(experiments, options.view != tracking::ViewType::kActiveOnly)));
  }
  return 0;
}

std::string describe(const Experiment& experiment) {
  std::string out =
      fmt::format("{}  {}  {}\n", styled(experiment.name, Style::kBold, use_colour(STDOUT_FILENO)),
                  tracking::to_string(experiment.lifecycle), experiment.id);
  out += fmt::format("created {}, changed {}\n", format_local(experiment.created),
                     format_local(experiment.updated));
  out += fmt::format("artifacts  {}\n", experiment.artifact_location);
  Table tags({"TAG", ""});
  for (const auto& [key, value] : experiment.tags) tags.add({key, value});
  if (!experiment.tags.empty()) out += "\n" + tags.to_string();
  return out;
}

Result<int> show(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  Experiment experiment = TRY(chosen(*records, options));
  bool json = context.json || options.output == "json";
  TRY(print(json ? dump_json(to_json(experiment), 2) + "\n" : describe(experiment)));
  return 0;
}

Result<int> create(const Context& context, const Options& options) {
  if (options.name.empty() == options.experiment.empty())
    return fail(Code::kInvalid, "give the new experiment a name");
  auto records = TRY(open_records(context, Create::yes));
  const std::string& name = options.name.empty() ? options.experiment : options.name;
  std::string id = TRY(records->create_experiment(name, options.location));
  return answer(context, *records, id);
}

Result<int> rename(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  Experiment experiment = TRY(chosen(*records, options));
  TRY(records->rename_experiment(experiment.id, options.new_name));
  return answer(context, *records, experiment.id);
}

Result<int> remove(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  Experiment experiment = TRY(chosen(*records, options));
  TRY(records->delete_experiment(experiment.id));
  return answer(context, *records, experiment.id);
}

Result<int> restore(const Context& context, const Options& options) {
  auto records = TRY(open_records(context));
  Experiment experiment = TRY(chosen(*records, options));
  TRY(records->restore_experiment(experiment.id));
  return answer(context, *records, experiment.id);
}

Result<int> runs_as_csv(const Context& context, const Options& options) {
  if (context.json)
    return fail(Code::kInvalid,
                "experiments csv excludes --json; as JSON: tidemill runs list -e EXPERIMENT --json");
  auto records = TRY(open_records(context));
  Experiment experiment = TRY(chosen(*records, options));
  tracking::SearchRuns search{.experiment_ids = {experiment.id}, .filter = options.filter};
  std::vector<tracking::Run> runs;
  do {
    auto page = TRY(records->search_runs(search));
    for (auto& run : page.items) runs.push_back(std::move(run));
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  std::string csv = csv_of(runs);
  if (options.output.empty()) {
    TRY(print(csv));
    return 0;
  }
  TRY(write_file_atomic(options.output, csv, Durable::no));
  fmt::print(stderr, "{} {} in {}\n", runs.size(), runs.size() == 1 ? "run" : "runs", options.output);
  return 0;
}

using Command = Result<int> (*)(const Context&, const Options&);

class Subcommands {
 public:
  Subcommands(CLI::App& parent, Context& context) : parent_(parent), context_(context) {}

  CLI::App& add(const char* name, const char* help, const char* example, Command command) {
    CLI::App* added = parent_.add_subcommand(name, help);
    added->footer(fmt::format("Example: tidemill experiments {}", example));
    add_record_options(*added, context_);
    added->callback([&context = context_, options = options_, command] {
      context.action = [&context, options, command] { return command(context, *options); };
    });
    return *added;
  }
  CLI::App& add_for_one(const char* name, const char* help, const char* example, Command command) {
    CLI::App& added = add(name, help, example, command);
    added.add_option("EXPERIMENT", options_->experiment, "Its id or its name");
    added.add_option("-x,--experiment-id", options_->id, "Its id");
    return added;
  }
  void add_list(const char* name, const char* help, const char* example) {
    CLI::App& added = add(name, help, example, list);
    add_view_option(added, options_->view);
    added.add_option("-f,--filter", options_->filter, "MLflow's search language: \"name LIKE 'cifar%'\"");
    added.add_option("-n,--max-results,--limit", options_->limit, "At most this many")
        ->check(CLI::Range(int64_t{1}, int64_t{50'000}));
    added.add_flag("--csv", options_->csv, "Comma-separated values")->excludes("--json");
  }
  Options& options() { return *options_; }

 private:
  CLI::App& parent_;
  Context& context_;
  std::shared_ptr<Options> options_ = std::make_shared<Options>();
};

}  // namespace

void add_experiments(CLI::App& app, Context& context) {
  CLI::App* experiments = app.add_subcommand("experiments", "Experiments: names under which runs are kept");
  experiments->require_subcommand(1);
  Subcommands commands(*experiments, context);
  Options& options = commands.options();
  commands.add_list("list", "All experiments", "list --json");
  commands.add_list("search", "Those that a filter finds", "search -v all -f \"name LIKE 'cifar%'\"");
  CLI::App& get = commands.add_for_one("get", "One experiment with its tags", "get cifar10", show);
  get.add_option("-n,--experiment-name", options.name, "Its name");
  get.add_option("--output", options.output, "table or json")->check(CLI::IsMember({"table", "json"}));
  CLI::App& made = commands.add("create", "A new experiment; prints its id",
                                "create cifar10 -l s3://bucket/cifar10", create);
  made.add_option("NAME", options.experiment, "Its name");
  made.add_option("-n,--experiment-name", options.name, "Its name, as `mlflow experiments create` takes it");
  made.add_option("-l,--artifact-location", options.location,
                  "Where its runs keep their files (default: as the store or server has it)");
  commands.add_for_one("rename", "Another name", "rename cifar10 --new-name cifar", rename)
      .add_option("--new-name", options.new_name, "The name from now on")
      ->required();
  commands.add_for_one("delete", "Hides an experiment and its runs, until it is restored; see `tidemill gc`",
                       "delete cifar10", remove);
  commands.add_for_one("restore", "Brings a deleted experiment back with its runs", "restore cifar10",
                       restore);
  CLI::App& csv = commands.add_for_one("csv", "All runs of an experiment as comma-separated values",
                                       "csv cifar10 -o cifar10.csv", runs_as_csv);
  csv.add_option("-o,--filename", options.output, "Write to this file");
  csv.add_option("-f,--filter", options.filter, "Only these runs: \"metrics.accuracy > 0.8\"");
}

}  // namespace tidemill::cli
