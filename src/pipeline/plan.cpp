#include "pipeline/plan.h"

#include <set>

#include "base/text.h"

namespace tidemill::pipeline {
namespace {

using config::Arguments;
using config::fail_at;
using config::Pipeline;
using config::Problems;
using config::Reference;
using config::Step;

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

// The nodes of the graph are the steps in the order of the file.
struct Graph {
  std::vector<std::string> names;
  std::unordered_map<std::string, size_t> positions;
  std::vector<std::vector<size_t>> needs;

  std::optional<size_t> index(const std::string& name) const {
    auto at = positions.find(name);
    return at != positions.end() ? std::optional(at->second) : std::nullopt;
  }
};

Result<> check_words(const Reference& reference, size_t word, const std::vector<std::string>& known,
                     size_t length, const config::Place& place) {
  if (reference.size() <= word || std::find(known.begin(), known.end(), reference[word]) == known.end()) {
    std::string got = reference.size() > word ? reference[word] : "";
    return fail_at(place, "unknown reference {}{}; '{}' can be followed by {}", config::to_string(reference),
                   did_you_mean(got, known), word > 0 ? reference[0] : "${", join(known, ", "));
  }
  if (length != 0 && reference.size() != length)
    return fail_at(place, "unknown reference {}: it has {} words, not {}", config::to_string(reference),
                   length, reference.size());
  return {};
}

// The step that a reference waits for, if any.
Result<std::optional<size_t>> check_reference(const Reference& reference, const Pipeline& pipeline,
                                              const Graph& graph, const config::Place& place) {
  TRY(check_words(reference, 0, {"params", "steps", "self", "run", "experiment", "pipeline"}, 0, place));
  const std::string& root = reference[0];
  if (root == "params") TRY(check_words(reference, 1, config::names_of(pipeline.parameters), 2, place));
  if (root == "self" || root == "run") TRY(check_words(reference, 1, {"id", "artifacts"}, 2, place));
  if (root == "experiment") TRY(check_words(reference, 1, {"id", "name"}, 2, place));
  if (root == "pipeline") TRY(check_words(reference, 1, {"name", "folder"}, 2, place));
  if (root != "steps") return std::nullopt;
  TRY(check_words(reference, 1, graph.names, 0, place));
  bool metric = reference.size() > 2 && reference[2] == "metrics";
  TRY(check_words(reference, 2, {"run_id", "artifacts", "metrics"}, metric ? 4 : 3, place));
  return graph.index(reference[1]);
}

// Everything of a step that may hold references.
std::vector<const config::Template*> templates_of(const Step& step) {
  std::vector<const config::Template*> found;
  for (const auto& argument : step.arguments) found.push_back(&argument.value);
  for (const auto& input : step.settings.inputs) found.push_back(&input);
  for (const auto& variable : step.settings.environment)
    if (variable.value) found.push_back(&*variable.value);
  return found;
}

Graph make_graph(const Pipeline& pipeline, Problems& problems) {
  Graph graph;
  for (const Step& step : pipeline.steps) {
    graph.positions.emplace(step.name, graph.names.size());
    graph.names.push_back(step.name);
  }
  for (const Step& step : pipeline.steps) {
    std::set<size_t> needs;
    for (const auto& need : step.needs) {
      if (auto index = graph.index(need.step)) {
        needs.insert(*index);
      } else {
        problems.keep(fail_at(need.place, "step '{}' needs '{}', which is not a step{}", step.name, need.step,
                              did_you_mean(need.step, graph.names)));
      }
    }
    for (const config::Template* value : templates_of(step))
      for (const auto& reference : value->references())
        if (auto found = problems.keep(check_reference(reference, pipeline, graph, value->place));
            found && *found)
          needs.insert(**found);
    graph.needs.emplace_back(needs.begin(), needs.end());
  }
  return graph;
}

// Depth-first order; a step met again while it is being visited closes a cycle.
class Sorter {
 public:
  Sorter(const Graph& graph, const Pipeline& pipeline)
      : graph_(graph), pipeline_(pipeline), state_(graph.names.size()) {}

  Result<std::vector<size_t>> sort() {
    for (size_t i = 0; i < state_.size(); ++i) TRY(visit(i));
    return std::move(order_);
  }

 private:
  enum class State { kNew, kOpen, kDone };

  // Explicit stack: a chain of steps may be longer than the call stack is deep.
  Result<> visit(size_t root) {
    std::vector<std::pair<size_t, size_t>> stack;  // step, next need
    auto open = [&](size_t step) {
      state_[step] = State::kOpen;
      stack.emplace_back(step, 0);
    };
    if (state_[root] == State::kNew) open(root);
    while (!stack.empty()) {
      auto& [step, next] = stack.back();
      if (next == graph_.needs[step].size()) {
        state_[step] = State::kDone;
        order_.push_back(step);
        stack.pop_back();
        continue;
      }
      size_t need = graph_.needs[step][next++];
      if (state_[need] == State::kOpen) return cycle(stack, need);
      if (state_[need] == State::kNew) open(need);
    }
    return {};
  }

  Result<> cycle(const std::vector<std::pair<size_t, size_t>>& stack, size_t start) const {
    std::string path;
    bool inside = false;
    for (const auto& [step, next] : stack) {
      inside = inside || step == start;
      if (inside) path += graph_.names[step] + " -> ";
    }
    return fail_at(pipeline_.steps[start].place, "steps wait for each other in a circle: {}{}", path,
                   graph_.names[start]);
  }

  const Graph& graph_;
  const Pipeline& pipeline_;
  std::vector<State> state_;
  std::vector<size_t> order_;
};

Result<std::string> value_of(const Reference& reference, const Plan& plan, const StepResult& self,
                             const Scope& scope, const config::Place& place) {
  const std::string& root = reference[0];
  const std::string& word = reference[1];
  if (root == "params") return *find_value(plan.params, word);
  if (root == "self") return word == "id" ? self.run_id : self.artifacts;
  if (root == "run") return word == "id" ? scope.run_id : scope.artifacts;
  if (root == "experiment") return word == "id" ? scope.experiment_id : plan.experiment;
  if (root == "pipeline") return word == "name" ? plan.name : plan.folder.string();
  const StepResult* step = scope.step(word);
  if (step == nullptr) return fail_at(place, "{}: step '{}' has not run", config::to_string(reference), word);
  if (reference[2] == "run_id") return step->run_id;
  if (reference[2] == "artifacts") return step->artifacts;
  auto metric = step->metric(reference[3]);
  if (!metric)
    return fail_at(place, "{}: step '{}' logged no metric '{}'", config::to_string(reference), word,
                   reference[3]);
  return *metric;
}

}  // namespace

std::optional<Plan> make_plan(const Pipeline& pipeline, const Arguments& given, Missing missing,
                              Problems& problems) {
  Plan plan{.name = pipeline.name,
            .experiment = pipeline.experiment,
            .params = pipeline_params(pipeline, given, missing, problems),
            .steps = {},
            .max_parallel = pipeline.max_parallel,
            .folder = pipeline.folder,
            .file = pipeline.file,
            .positions = {}};
  Graph graph = make_graph(pipeline, problems);
  auto order = problems.keep(Sorter(graph, pipeline).sort());
  if (!problems.empty()) return std::nullopt;
  std::vector<size_t> position(order->size());
  for (size_t i = 0; i < order->size(); ++i) position[(*order)[i]] = i;
  for (size_t index : *order) {
    const Step& step = pipeline.steps[index];
    PlannedStep planned{step.name, step.project, step.entry, step.arguments, {}, step.settings};
    for (size_t need : graph.needs[index]) planned.needs.push_back(position[need]);
    plan.positions.emplace(step.name, plan.steps.size());
    plan.steps.push_back(std::move(planned));
  }
  return plan;
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
              .max_parallel = 1,
              .folder = project.folder,
              .file = project.file,
              .positions = {{name, 0}}};
}

std::optional<size_t> Plan::index(const std::string& step) const {
  auto found = positions.find(step);
  return found != positions.end() ? std::optional(found->second) : std::nullopt;
}

Result<std::string> resolve(const Plan& plan, const config::Template& value, const StepResult& self,
                            const Scope& scope) {
  std::string text;
  for (const auto& part : value.parts) {
    if (const auto* literal = std::get_if<std::string>(&part)) {
      text += *literal;
    } else {
      text += TRY(value_of(std::get<Reference>(part), plan, self, scope, value.place));
    }
  }
  return text;
}

Result<Arguments> resolve(const Plan& plan, const PlannedStep& step, const StepResult& self,
                          const Scope& scope) {
  Arguments resolved;
  for (const auto& argument : step.arguments)
    resolved.emplace_back(argument.name, TRY(resolve(plan, argument.value, self, scope)));
  return resolved;
}

}  // namespace tidemill::pipeline
