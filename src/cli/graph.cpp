// tidemill graph: the steps of a pipeline as a drawing.
#include "cli/commands.h"
#include "cli/format.h"
#include "config/pipeline_file.h"
#include "pipeline/diagram.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct GraphOptions {
  fs::path target = ".";
  std::vector<std::string> params;
  std::string format = "text";
};

std::string json_of(const pipeline::Plan& plan) {
  Json steps = Json::array();
  for (const auto& step : plan.steps) steps.push_back(to_json(plan, step));
  return dump_json({{"name", plan.name}, {"steps", steps}}, 2) + "\n";
}

std::string draw(const pipeline::Plan& plan, const std::string& format) {
  if (format == "json") return json_of(plan);
  pipeline::Diagram diagram = pipeline::diagram_of(plan);
  if (format == "dot") return pipeline::draw_dot(diagram);
  if (format == "mermaid") return pipeline::draw_mermaid(diagram);
  if (format == "svg") return pipeline::draw_svg(diagram);
  return pipeline::draw_text(diagram);
}

Result<int> graph(const Context& context, const GraphOptions& options) {
  auto file = pipeline_file(options.target);
  if (!file)
    return fail(Code::kInvalid, "{} is neither a pipeline.yaml nor a folder with one",
                options.target.string());
  config::Problems problems;
  auto given = TRY(read_params(options.params));
  std::optional<pipeline::Plan> plan;
  if (auto loaded = config::load_pipeline(*file, problems))
    plan = pipeline::make_plan(*loaded, given, pipeline::Missing::kAllowed, problems);
  TRY(problems.first());
  TRY(print(draw(*plan, context.json ? "json" : options.format)));
  return 0;
}

}  // namespace

void add_graph(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("graph", "Draw the steps of a pipeline");
  auto options = std::make_shared<GraphOptions>();
  command->add_option("PATH", options->target, "A pipeline.yaml, or a folder with one (default: .)");
  command->add_option("-P,--param-list", options->params, "A parameter, NAME=VALUE; repeatable")
      ->allow_extra_args(false);
  command->add_option("--format", options->format, "text, dot (Graphviz), mermaid, svg or json")
      ->check(CLI::IsMember({"text", "dot", "mermaid", "svg", "json"}))
      ->capture_default_str();
  add_common_options(*command, context);
  command->footer(
      "Examples:\n"
      "  tidemill graph examples/cifar10\n"
      "  tidemill graph examples/cifar10 --format svg > cifar10.svg\n"
      "  tidemill graph examples/cifar10 --format dot | dot -Tpng > cifar10.png");
  command->callback(
      [&context, options] { context.action = [&context, options] { return graph(context, *options); }; });
}

}  // namespace tidemill::cli
