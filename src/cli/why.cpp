// tidemill why: why a step ran or was reused, or would be.
#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "config/pipeline_file.h"
#include "pipeline/plan.h"

namespace tidemill::cli {
namespace {

struct WhyOptions {
  std::string step;
  std::string run_id;
  fs::path target;
  std::vector<std::string> params;
};

Result<int> say(const Context& context, const std::string& step, std::string_view what,
                const std::string& reason, const std::string& run_id) {
  if (context.json) {
    Json json{{"step", step}, {"what", what}, {"reason", reason}};
    if (!run_id.empty()) json["run_id"] = run_id;
    TRY(print(dump_json(json, 2) + "\n"));
  } else {
    TRY(print(fmt::format("{}: {}\n", what, reason)));
  }
  return 0;
}

// What would happen to the step now.
Result<int> foretell(const Context& context, const WhyOptions& options) {
  auto file = pipeline_file(options.target);
  if (!file)
    return fail(Code::kInvalid, "{} is neither a pipeline.yaml nor a folder with one",
                options.target.string());
  auto plan = TRY(pipeline::make_plan(TRY(config::load_pipeline(*file)), TRY(read_params(options.params))));
  std::vector<std::string> names;
  for (const auto& step : plan.steps) names.push_back(step.name);
  if (!plan.index(options.step))
    return fail(Code::kInvalid, "{} has no step '{}'{}", file->string(), options.step,
                did_you_mean(options.step, names));
  auto store = TRY(context.open_store());
  engine::Options how = TRY(context.engine_options());
  TRY(add_environments(plan, "", Environments::kFound, how));
  auto foreseen = TRY(engine::foresee(plan, &store, how));
  const auto& step = foreseen[*plan.index(options.step)];
  return say(context, step.step, fmt::format("would {}", engine::to_string(step.what)), step.reason, "");
}

// The latest run of any pipeline.
Result<std::string> latest_run(tracking::Store& store) {
  std::vector<std::string> experiments;
  for (const auto& experiment : TRY(store.search_experiments({})).items) experiments.push_back(experiment.id);
  auto found = TRY(store.search_runs({.experiment_ids = experiments,
                                      .filter = "tags.`tidemill.pipeline` LIKE '%'",
                                      .max_results = 1,
                                      .order_by = {},
                                      .page_token = {}}));
  if (found.items.empty()) return fail(Code::kNotFound, "no pipeline has run yet in this store");
  return found.items[0].info.id;
}

// "ran: parameter rate: 0.1 -> 0.2": the reason is why it ran, also when it has failed then.
std::string past_tense(const std::string& state) {
  if (state == "finished") return "ran";
  if (state == "running") return "runs";
  if (state == "failed") return "ran and failed";
  if (state == "killed") return "ran and was stopped";
  return state;
}

// What has happened to it in a run.
Result<int> recall(const Context& context, const WhyOptions& options) {
  auto store = TRY(context.open_store());
  std::string run_id = options.run_id.empty() ? TRY(latest_run(store)) : options.run_id;
  std::vector<std::string> names;
  for (const auto& record : TRY(store.step_records(run_id))) {
    if (record.step == options.step)
      return say(context, record.step, context.json ? record.state : past_tense(record.state), record.reason,
                 run_id);
    names.push_back(record.step);
  }
  return fail(Code::kNotFound, "run {} has no step '{}'{}", run_id, options.step,
              did_you_mean(options.step, names));
}

}  // namespace

void add_why(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("why", "Why a step ran or was reused, or would be");
  auto options = std::make_shared<WhyOptions>();
  command->add_option("STEP", options->step, "The step")->required();
  command->add_option("PATH", options->target,
                      "A pipeline: what would happen to the step now (default: what did in its last run)");
  command->add_option("--run", options->run_id, "What happened in this run");
  command->add_option("-P,--param-list", options->params, "With PATH: a parameter, NAME=VALUE; repeatable")
      ->allow_extra_args(false);
  command->footer(
      "Examples:\n"
      "  tidemill why train\n"
      "  tidemill why train examples/cifar10 -P epochs=2");
  add_common_options(*command, context);
  command->callback([&context, options] {
    context.action = [&context, options] {
      return options->target.empty() ? recall(context, *options) : foretell(context, *options);
    };
  });
}

}  // namespace tidemill::cli
