#include "pipeline/plan.h"

#include <algorithm>

#include "base/text.h"
#include "pipeline/expansion.h"
#include "pipeline/graph.h"
#include "pipeline/nesting.h"
#include "pipeline/outputs.h"

namespace tidemill::pipeline {
namespace {

using config::Arguments;
using config::fail_at;
using config::Pipeline;
using config::Problems;
using config::Step;

// Edges of one plan: two steps with foreach, each of thousands, that need each other would have millions.
constexpr size_t kMostEdges = 2'000'000;

const std::string* find_value(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments)
    if (key == name) return &value;
  return nullptr;
}

Arguments pipeline_params(const Pipeline& pipeline, const Arguments& given, Missing missing,
                          Problems& problems) {
  for (const auto& [name, value] : given)
    if (config::find_parameter(pipeline.parameters, name) == nullptr)
      problems.keep(fail(Code::kInvalid, "{}: pipeline '{}' has no parameter '{}'{}", pipeline.file,
                         pipeline.name, name, did_you_mean(name, config::names_of(pipeline.parameters))));
  Arguments params;
  for (const auto& parameter : pipeline.parameters) {
    const std::string* value = find_value(given, parameter.name);
    if (value == nullptr && parameter.default_value) value = &*parameter.default_value;
    if (value == nullptr && missing == Missing::kRefused)
      problems.keep(fail_at(parameter.place, "parameter '{}' has no default: give it with -P {}=...",
                            parameter.name, parameter.name));
    if (value == nullptr) continue;
    if (auto fits = config::check_value(parameter, *value); !fits)
      problems.add(std::move(fits).error().in(parameter.place.to_string()));
    params.emplace_back(parameter.name, *value);
  }
  return params;
}

// Puts the steps into the plan in their order, each with all that its foreach stands for.
class Planner {
 public:
  Planner(const Pipeline& pipeline, const Graph& graph, Plan& plan)
      : pipeline_(pipeline),
        graph_(graph),
        plan_(plan),
        combinations_(graph.names.size()),
        at_(graph.names.size()) {}

  Result<> add(size_t index) {
    auto find = [this](const std::string& name) -> const Step& {
      return pipeline_.steps[*graph_.index(name)];
    };
    const Step& written = pipeline_.steps[index];
    const auto rewritten = with_output_paths(written, find);
    return add(index, rewritten ? *rewritten : written);
  }

  // Its steps are there already.
  void add(const Nest& nest) {
    std::vector<size_t>& group = plan_.groups[nest.name];
    for (const auto& name : nest.steps) {
      const auto& steps = at_[*graph_.index(name)];
      group.insert(group.end(), steps.begin(), steps.end());
    }
    std::sort(group.begin(), group.end());
  }

 private:
  Result<> add(size_t index, const Step& step) {
    if (!step.foreach) {
      put(index, step, 0);
      return check_edges(step);
    }
    size_t model = graph_.models[index];
    if (model == index) combinations_[index] = TRY(combinations(*step.foreach, plan_.params));
    for (size_t i = 0; i < combinations_[model].size(); ++i) {
      const Combination& values = combinations_[model][i];
      PlannedStep& planned = put(index,
                                 instance_of(step, values,
                                             [&](const std::string& other) {
                                               return follows(index, *graph_.index(other))
                                                          ? instance_name(other, values)
                                                          : std::string();
                                             }),
                                 i);
      planned.group = step.name;
      planned.each = values;
      TRY(check_edges(step));
    }
    plan_.groups.emplace(step.name, at_[index]);
    return {};
  }

  // Whether instances of one step belong to those of the other with the same values.
  bool follows(size_t step, size_t other) const {
    return step != other && pipeline_.steps[step].foreach && pipeline_.steps[other].foreach &&
           graph_.models[step] == graph_.models[other];
  }

  PlannedStep& put(size_t index, const Step& step, size_t instance) {
    PlannedStep planned{.name = step.name,
                        .project = step.project,
                        .entry = step.entry,
                        .arguments = step.arguments,
                        .settings = step.settings,
                        .phase = step.phase,
                        .folder = step.folder,
                        .within = step.within};
    for (const auto& wanted : step.settings->secrets)
      for (const auto& secret : pipeline_.secrets)
        if (secret.name == wanted.name) planned.secrets.push_back(secret);
    for (size_t need : graph_.needs[index]) {
      std::vector<size_t> positions = follows(index, need) ? std::vector{at_[need][instance]} : at_[need];
      planned.needs.insert(planned.needs.end(), positions.begin(), positions.end());
      if (graph_.tolerated[index].count(need) > 0)
        planned.tolerated.insert(planned.tolerated.end(), positions.begin(), positions.end());
    }
    edges_ += planned.needs.size();
    plan_.positions.emplace(step.name, plan_.steps.size());
    at_[index].push_back(plan_.steps.size());
    return plan_.steps.emplace_back(std::move(planned));
  }

  Result<> check_edges(const Step& step) const {
    if (edges_ > kMostEdges)
      return fail_at(step.place, "the plan has more than {} needs: too many combinations wait for each other",
                     kMostEdges);
    return {};
  }

  const Pipeline& pipeline_;
  const Graph& graph_;
  Plan& plan_;
  std::vector<std::vector<Combination>> combinations_;  // of each step with a foreach of its own
  std::vector<std::vector<size_t>> at_;                 // where its instances stand in the plan
  size_t edges_ = 0;
};

std::optional<Plan> put_steps(const Pipeline& pipeline, const std::vector<Nest>& nests, Plan plan,
                              Problems& problems) {
  plan.inputs = pipeline.inputs;
  plan.secrets = pipeline.secrets;
  for (auto& input : plan.inputs)
    if (!input.file.empty()) input.file = (pipeline.folder / input.file).lexically_normal();
  Graph graph = make_graph(pipeline, problems, nests);
  auto order = problems.keep(sorted(graph, pipeline));
  if (!problems.empty()) return std::nullopt;
  Planner planner(pipeline, graph, plan);
  for (size_t index : *order)
    if (!problems.keep(planner.add(index))) return std::nullopt;
  for (const auto& nest : nests) planner.add(nest);
  return plan;
}

}  // namespace

std::optional<Plan> make_plan(const Pipeline& pipeline, const Arguments& given, Missing missing,
                              Problems& problems) {
  Plan plan{.name = pipeline.name,
            .experiment = pipeline.experiment,
            .params = pipeline_params(pipeline, given, missing, problems),
            .steps = {},
            .inputs = {},
            .secrets = {},
            .max_parallel = pipeline.max_parallel,
            .after_failure = pipeline.after_failure,
            .timeout = pipeline.timeout,
            .folder = pipeline.folder,
            .file = pipeline.file,
            .sha256 = pipeline.sha256,
            .inner_files = pipeline.inner_files,
            .positions = {},
            .groups = {}};
  if (!has_nests(pipeline)) return put_steps(pipeline, {}, std::move(plan), problems);
  const Flat flat = flatten(pipeline, plan.params, problems);
  if (!problems.empty()) return std::nullopt;
  return put_steps(flat.pipeline, flat.nests, std::move(plan), problems);
}

Result<Plan> make_plan(const Pipeline& pipeline, const Arguments& given) {
  Problems problems;
  auto plan = make_plan(pipeline, given, Missing::kRefused, problems);
  TRY(problems.first());
  return std::move(*plan);
}

Plan plan_of_project(const config::Project& project, const config::EntryPoint& entry,
                     const Arguments& given) {
  PlannedStep step{.name = entry.name, .project = project, .entry = entry};
  for (const auto& [name, value] : given) step.arguments.push_back({name, config::Template{{value}, {}}, {}});
  std::string name = step.name;
  return Plan{.name = project.name,
              .experiment = "Default",
              .params = given,
              .steps = {std::move(step)},
              .inputs = {},
              .secrets = {},
              .max_parallel = 1,
              .folder = project.folder,
              .file = project.file,
              .sha256 = project.sha256,
              .inner_files = {},
              .positions = {{name, 0}},
              .groups = {}};
}

bool PlannedStep::tolerates(size_t need) const {
  return std::find(tolerated.begin(), tolerated.end(), need) != tolerated.end();
}

std::optional<size_t> Plan::index(const std::string& step) const {
  auto found = positions.find(step);
  return found != positions.end() ? std::optional(found->second) : std::nullopt;
}

std::vector<size_t> Plan::instances(const std::string& step) const {
  if (auto group = groups.find(step); group != groups.end()) return group->second;
  auto found = index(step);
  return found ? std::vector{*found} : std::vector<size_t>{};
}

std::vector<std::string> Plan::step_names() const {
  std::vector<std::string> all;
  for (const auto& step : steps) all.push_back(step.name);
  return all;
}

std::vector<std::string> Plan::names() const {
  std::vector<std::string> all;
  for (const auto& step : steps) {
    const std::string& called = step.group.empty() ? step.name : step.group;
    if (all.empty() || all.back() != called) all.push_back(called);
  }
  return all;
}

}  // namespace tidemill::pipeline
