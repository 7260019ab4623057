// tidemill check: whether a pipeline and its projects are right, without running anything.
#include <unistd.h>

#include "base/json.h"
#include "cli/commands.h"
#include "config/pipeline_file.h"
#include "engine/inputs.h"
#include "engine/step_check.h"
#include "pipeline/plan.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct CheckOptions {
  fs::path target = ".";
  std::vector<std::string> params;
  bool schema = false;
};

struct Findings {
  std::string file;
  std::string summary;  // of what is right
  config::Problems problems;
};

std::string counted(size_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

void check_pipeline(const fs::path& file, const config::Arguments& given, Findings& findings) {
  auto pipeline = config::load_pipeline(file, findings.problems);
  if (!pipeline) return;
  auto plan = pipeline::make_plan(*pipeline, given, pipeline::Missing::kAllowed, findings.problems);
  if (!plan) return;
  for (const auto& input : plan->inputs) findings.problems.keep(engine::check_input(input));
  for (const auto& step : plan->steps) findings.problems.keep(engine::check_step(*plan, step));
  findings.summary = fmt::format("{}: {}, {}", plan->name, counted(plan->steps.size(), "step"),
                                 counted(pipeline->parameters.size(), "parameter"));
}

void check_project(const fs::path& folder, Findings& findings) {
  auto project = config::load_project(folder, findings.problems);
  if (!project) return;
  findings.file = project->file;
  if (project->file.empty())
    findings.problems.keep(
        fail(Code::kInvalid, "{} has neither a pipeline.yaml nor an MLproject", folder.string()));
  for (const auto& entry : project->entry_points) {
    auto command = config::command_line(entry, {});
    if (!command) findings.problems.add(std::move(command).error());
  }
  findings.summary =
      fmt::format("{}: {}", project->name, counted(project->entry_points.size(), "entry point"));
}

Json json_of(const Findings& findings) {
  Json problems = Json::array();
  for (const auto& error : findings.problems.list()) {
    config::Placed problem = config::split_place(error.message);
    Json json = Json::object();
    if (problem.place)
      json = {
          {"file", *problem.place->file}, {"line", problem.place->line}, {"column", problem.place->column}};
    json["message"] = problem.text;
    problems.push_back(std::move(json));
  }
  return {{"file", findings.file}, {"valid", findings.problems.empty()}, {"problems", problems}};
}

Result<int> check(const Context& context, const CheckOptions& options) {
  if (options.schema) {
    TRY(print(config::pipeline_schema()));
    return 0;
  }
  Findings findings;
  if (auto file = pipeline_file(options.target)) {
    findings.file = file->string();
    check_pipeline(*file, TRY(read_params(options.params)), findings);
  } else {
    check_project(options.target, findings);
  }
  bool valid = findings.problems.empty();
  if (context.json) {
    TRY(print(dump_json(json_of(findings), 2) + "\n"));
  } else if (valid) {
    TRY(print(findings.summary + "\n"));
  } else {
    for (const auto& error : findings.problems.list()) fmt::print(stderr, "{}\n", error.message);
    fmt::print(
        stderr, "{}\n",
        styled(counted(findings.problems.list().size(), "problem"), Style::kRed, use_colour(STDERR_FILENO)));
  }
  return valid ? 0 : exit_code(Code::kInvalid);
}

}  // namespace

void add_check(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("check", "Check a pipeline and its projects without running them");
  auto options = std::make_shared<CheckOptions>();
  command->add_option("PATH", options->target,
                      "A pipeline.yaml, or a folder with a pipeline.yaml or an MLproject (default: .)");
  command->add_option("-P,--param-list", options->params, "A parameter, NAME=VALUE; repeatable")
      ->allow_extra_args(false);
  command->add_flag("--schema", options->schema, "Print the JSON Schema of pipeline.yaml, for editors");
  add_common_options(*command, context);
  command->footer(
      "Examples:\n"
      "  tidemill check examples/cifar10\n"
      "  tidemill check examples/cifar10 -P epochs=many --json\n"
      "  tidemill check --schema > pipeline.schema.json");
  command->callback(
      [&context, options] { context.action = [&context, options] { return check(context, *options); }; });
}

}  // namespace tidemill::cli
