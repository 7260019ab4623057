#include "base/time.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

Result<int> list_experiments(const Context& context) {
  auto store = TRY(context.open_store());
  std::vector<tracking::Experiment> experiments;
  tracking::SearchExperiments search;
  do {
    auto page = TRY(store.search_experiments(search));
    for (auto& experiment : page.items) experiments.push_back(std::move(experiment));
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  if (context.json) {
    Json json = Json::array();
    for (const auto& experiment : experiments) json.push_back(to_json(experiment));
    TRY(print(dump_json({{"experiments", json}}, 2) + "\n"));
    return 0;
  }
  Table table({"ID", "NAME", "CREATED", "ARTIFACTS"});
  for (const auto& experiment : experiments)
    table.add(
        {experiment.id, experiment.name, format_local(experiment.created), experiment.artifact_location});
  TRY(print(table.to_string()));
  return 0;
}

}  // namespace

void add_experiments(CLI::App& app, Context& context) {
  CLI::App* experiments = app.add_subcommand("experiments", "Experiments: names under which runs are kept");
  experiments->require_subcommand(1);
  CLI::App* list = experiments->add_subcommand("list", "All experiments");
  add_common_options(*list, context);
  list->footer("Example: tidemill experiments list --json");
  list->callback([&context] { context.action = [&context] { return list_experiments(context); }; });
}

}  // namespace tidemill::cli
