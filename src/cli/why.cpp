// tidemill why: why a step ran or was reused, or would be.
#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/run_facts.h"
#include "cli/run_id.h"
#include "config/pipeline_file.h"
#include "engine/inputs.h"
#include "engine/snapshot.h"
#include "pipeline/plan.h"

namespace tidemill::cli {
namespace {

struct WhyOptions {
  std::string step;
  std::string run_id;
  fs::path target;
  std::vector<std::string> params;
};

struct Answer {
  std::string step, what, reason;
  std::string failure = {};               // what became of it then; "": nothing to be told
  std::vector<std::string> changes = {};  // all; the reason tells the first
};

constexpr size_t kMostChanges = 20;  // in the terminal

std::string further_changes(const std::vector<std::string>& changes) {
  std::string lines;
  for (size_t i = 1; i < changes.size() && i <= kMostChanges; ++i) lines += fmt::format("  {}\n", changes[i]);
  if (changes.size() > kMostChanges + 1)
    lines += fmt::format("  and {} more (--json lists them)\n", changes.size() - kMostChanges - 1);
  return lines;
}

// A step with foreach has an answer for each of its instances.
Result<int> say(const Context& context, const std::vector<Answer>& answers, const std::string& run_id) {
  if (context.json) {
    Json list = Json::array();
    for (const auto& [step, what, reason, failure, changes] : answers) {
      Json json{{"step", step}, {"what", what}, {"reason", reason}};
      if (!failure.empty()) json["failure"] = failure;
      if (!changes.empty()) json["changes"] = changes;
      if (!run_id.empty()) json["run_id"] = run_id;
      list.push_back(std::move(json));
    }
    TRY(print(dump_json(list.size() == 1 ? list[0] : Json{{"steps", list}}, 2) + "\n"));
    return 0;
  }
  for (const auto& [step, what, reason, failure, changes] : answers)
    TRY(print(fmt::format("{}{}: {}{}\n{}", answers.size() == 1 ? "" : step + "  ", what, reason,
                          failure.empty() ? "" : "; " + failure, further_changes(changes))));
  return 0;
}

// What would happen to the step now.
Result<int> foretell(const Context& context, const WhyOptions& options) {
  auto file = pipeline_file(options.target);
  if (!file)
    return fail(Code::kInvalid, "{} is neither a pipeline.yaml nor a folder with one",
                options.target.string());
  auto plan = TRY(pipeline::make_plan(TRY(config::load_pipeline(*file)), TRY(read_params(options.params))));
  auto steps = plan.instances(options.step);
  if (steps.empty())
    return fail(Code::kInvalid, "{} has no step '{}'{}", file->string(), options.step,
                did_you_mean(options.step, plan.names()));
  TRY(engine::fetch_inputs(plan, TRY(context.engine_options())));
  auto store = TRY(context.open_store());
  engine::Options how = TRY(context.engine_options());
  TRY(add_environments(plan, {}, Environments::kFound, how));
  auto foreseen = TRY(engine::foresee(plan, &store, how));
  std::vector<Answer> answers;
  for (size_t step : steps)
    answers.push_back({foreseen[step].step, fmt::format("would {}", engine::to_string(foreseen[step].what)),
                       foreseen[step].reason, "", std::move(foreseen[step].changes)});
  return say(context, answers, "");
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
Answer answer_of(tracking::Store& store, const tracking::StepRecord& record) {
  Answer answer{record.step, record.state, record.reason};
  if (record.state == "finished") answer.what = "ran";
  if (record.state == "running") answer.what = "runs";
  const engine::StepState state = engine::step_state(record.state);
  if (!engine::has_failed(state) && state != engine::StepState::kKilled) return answer;
  auto run = store.run(record.step_run);
  const bool was_reused = run && !run->tag("tidemill.reused_run").empty();
  if (run) answer.reason = run->tag("tidemill.reason");
  answer.what = was_reused ? "reused" : answer.reason.empty() ? "did not run" : "ran";
  answer.failure = engine::has_failed(state) ? "it failed" : "it was stopped";
  if (run && !run->tag("tidemill.failure").empty())
    answer.failure += fmt::format(": {}", run->tag("tidemill.failure"));
  return answer;
}

// As the run's artifacts tell them; a result that was reused since has another reason.
void add_changes(const Json& recorded, Answer& answer) {
  if (!recorded.is_object() || !recorded.contains(answer.step)) return;
  const Json& entry = recorded[answer.step];
  if (!entry.is_object() || json_string(entry, "reason") != answer.reason || !entry.contains("changes"))
    return;
  for (const auto& change : entry["changes"])
    if (change.is_string()) answer.changes.push_back(change.get<std::string>());
}

// What has happened to it in a run.
Result<int> recall(const Context& context, const WhyOptions& options) {
  auto store = TRY(context.open_store());
  std::string run_id =
      options.run_id.empty() ? TRY(latest_run(store)) : TRY(full_run_id(store, options.run_id));
  std::vector<std::string> names;
  std::vector<Answer> answers;
  for (const auto& record : TRY(store.step_records(run_id))) {
    if (record.step == options.step || record.step.starts_with(options.step + "["))
      answers.push_back(answer_of(store, record));
    names.push_back(record.step);
    if (context.json && !answers.empty() && answers.back().step == record.step)
      answers.back().what = record.state;
  }
  if (!answers.empty()) {
    const auto run = TRY(store.run(run_id));
    const Json recorded = artifact_json(context.artifacts_of(run.info), engine::kStepsFile);
    for (auto& answer : answers) add_changes(recorded, answer);
    return say(context, answers, run_id);
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
