// tidemill runs diff, tidemill runs compare: runs beside each other.
#include "base/text.h"
#include "cli/csv.h"
#include "cli/run_facts.h"
#include "cli/run_id.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct CompareOptions {
  std::vector<std::string> runs;
  bool csv = false;
};

Result<std::vector<RunFacts>> load(const Context& context, const std::vector<std::string>& ids) {
  auto records = TRY(open_records(context));
  std::vector<RunFacts> runs;
  for (const auto& id : ids) runs.push_back(TRY(facts_of(*records, TRY(full_run_id(*records, id)))));
  return runs;
}

// Hashes and long texts as much as is needed to tell them apart by eye.
std::string shortened(const std::string& value) {
  constexpr size_t kLongest = 48, kHash = 12;
  std::string text = value;
  size_t hash = text.starts_with("sha256:") ? 7 : 0;
  bool is_hash =
      text.size() - hash >= 40 && text.find_first_not_of("0123456789abcdef", hash) == std::string::npos;
  if (is_hash) return text.substr(hash, kHash);
  for (char& c : text)
    if (c == '\n' || c == '\t') c = ' ';
  if (display_width(text) <= kLongest) return text;
  size_t end = kLongest - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

Result<int> diff(const Context& context, const std::vector<std::string>& ids) {
  auto runs = TRY(load(context, ids));
  auto things = differing(runs);
  if (context.json) {
    Json list = Json::array();
    for (const auto& thing : things)
      list.push_back({{"what", thing.kind},
                      {"name", thing.name},
                      {"a", runs[0].value(thing)},
                      {"b", runs[1].value(thing)}});
    TRY(print(dump_json({{"a", runs[0].run.info.id}, {"b", runs[1].run.info.id}, {"differences", list}}, 2) +
              "\n"));
    return 0;
  }
  TRY(print(difference_table(runs, things)));
  if (things.empty()) fmt::print(stderr, "no difference\n");
  for (const auto& run : runs)
    if (!run.has_record)
      fmt::print(stderr, "run {} has no record of its machine, code and packages\n", run.run.info.id);
  return 0;
}

std::vector<Fact> params_and_metrics(const std::vector<RunFacts>& runs) {
  auto things = all_things(runs);
  std::erase_if(things, [](const Fact& thing) {
    // Of a step's parameters those matter that the pipeline does not have already.
    bool of_step = thing.name.find('/') != std::string::npos;
    return thing.kind != "metric" && (thing.kind != "parameter" || of_step);
  });
  return things;
}

Result<int> compare_csv(const std::vector<RunFacts>& runs, const std::vector<Fact>& things) {
  std::vector<std::string> header{"run_id", "run_name", "status"};
  for (const auto& thing : things)
    header.push_back((thing.kind == "metric" ? "metrics." : "params.") + thing.name);
  std::string out = csv_line(header);
  for (const auto& run : runs) {
    const auto& info = run.run.info;
    std::vector<std::string> row{info.id, info.name, std::string(tracking::to_string(info.status))};
    for (const auto& thing : things) row.push_back(run.value(thing));
    out += csv_line(row);
  }
  TRY(print(out));
  return 0;
}

Result<int> compare(const Context& context, const CompareOptions& options) {
  auto runs = TRY(load(context, options.runs));
  auto things = params_and_metrics(runs);
  if (options.csv) return compare_csv(runs, things);
  if (context.json) {
    Json list = Json::array();
    for (const auto& run : runs) {
      Json params = Json::object(), metrics = Json::object();
      for (const auto& thing : things) {
        std::string value = run.value(thing);
        if (!value.empty()) (thing.kind == "metric" ? metrics : params)[thing.name] = value;
      }
      list.push_back({{"run_id", run.run.info.id},
                      {"run_name", run.run.info.name},
                      {"params", params},
                      {"metrics", metrics}});
    }
    TRY(print(dump_json({{"runs", list}}, 2) + "\n"));
    return 0;
  }
  TRY(print(difference_table(runs, things)));
  if (things.empty()) fmt::print(stderr, "no parameters and no metrics\n");
  return 0;
}

}  // namespace

std::string difference_table(const std::vector<RunFacts>& runs, const std::vector<Fact>& things) {
  std::vector<std::string> header = {"WHAT", "NAME"};
  for (const auto& run : runs) header.push_back(run.run.info.id.substr(0, 8));
  Table table(header);
  for (const auto& thing : things) {
    std::vector<std::string> row = {thing.kind, thing.name};
    for (const auto& run : runs) row.push_back(shortened(run.value(thing)));
    table.add(std::move(row));
  }
  return table.to_string();
}

void add_diff(CLI::App& runs, Context& context) {
  CLI::App* command = runs.add_subcommand("diff", "What differs between two runs");
  auto ids = std::make_shared<std::vector<std::string>>();
  command->add_option("RUNS", *ids, "Two ids")->required()->expected(2);
  add_record_options(*command, context);
  command->footer(
      "Of pipelines' runs: parameters, code, inputs, programs, machine, packages, lock files, git, metrics.\n"
      "Example: tidemill runs diff 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f 7a5c9d1be02f4c8d8d1f3a6b9c2e4d5f");
  command->callback([&context, ids] { context.action = [&context, ids] { return diff(context, *ids); }; });
}

void add_compare(CLI::App& runs, Context& context) {
  CLI::App* command = runs.add_subcommand("compare", "Parameters and metrics of several runs side by side");
  auto options = std::make_shared<CompareOptions>();
  command->add_option("RUNS", options->runs, "Their ids")->required()->expected(1, 1000);
  command->add_flag("--csv", options->csv, "A line for each run, for other programs");
  add_record_options(*command, context);
  command->footer(
      "Example: tidemill runs compare $(tidemill runs list -e cifar10 --json | jq -r '.runs[].run_id') "
      "--csv");
  command->callback(
      [&context, options] { context.action = [&context, options] { return compare(context, *options); }; });
}

}  // namespace tidemill::cli
