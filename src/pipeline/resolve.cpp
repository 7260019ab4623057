#include "pipeline/resolve.h"

#include <algorithm>

#include "base/json.h"

namespace tidemill::pipeline {
namespace {

using config::fail_at;
using config::Reference;
using config::Template;

// The step with foreach that a value collects from. Its state is one word for all of them.
const std::string* collected(const Plan& plan, const Template& value) {
  for (const auto& part : value.parts)
    if (const auto* reference = std::get_if<Reference>(&part))
      if ((*reference)[0] == "steps" && (*reference)[2] != "state" && plan.groups.count((*reference)[1]) > 0)
        return &(*reference)[1];
  return nullptr;
}

// Failed when one has failed, succeeded when the rest have succeeded or were skipped, all skipped: skipped.
std::string state_of(const Plan& plan, const std::string& name, const Scope& scope) {
  std::string state = "skipped";
  for (size_t index : plan.instances(name)) {
    const std::string one = scope.step(index).state;
    if (one.empty() || one == "failed") return "failed";
    if (one == "succeeded") state = one;
  }
  return state;
}

Result<std::string> of_step(const Reference& reference, const Plan& plan, const Scope& scope,
                            const config::Place& place) {
  const std::string& name = reference[1];
  if (reference[2] == "state") return state_of(plan, name, scope);
  if (reference[2] == "each") {
    for (const auto& [key, value] : plan.steps[*plan.index(name)].each)
      if (key == reference[3]) return value;
  }
  const auto index = plan.index(name);
  const StepResult step = index ? scope.step(*index) : StepResult{};
  if (step.state.empty())
    return fail_at(place, "{}: step '{}' has not run", config::to_string(reference), name);
  if (step.state != "succeeded")
    return fail_at(place, "{}: step '{}' {}", config::to_string(reference), name,
                   step.state == "skipped" ? "was skipped" : "has " + step.state);
  if (reference[2] == "run_id") return step.run_id;
  if (reference[2] == "artifacts") return step.artifacts;
  auto metric = step.metric(reference[3]);
  if (!metric)
    return fail_at(place, "{}: step '{}' logged no metric '{}'", config::to_string(reference), name,
                   reference[3]);
  return *metric;
}

Result<std::string> value_of(const Reference& reference, const Plan& plan, const StepResult& self,
                             const Scope& scope, const config::Place& place) {
  const std::string& root = reference[0];
  const std::string& word = reference[1];
  if (root == "steps") return of_step(reference, plan, scope, place);
  if (root == "self") return word == "id" ? self.run_id : self.artifacts;
  if (root == "run" && word == "state") return scope.state;
  if (root == "run" && word == "failed") return scope.failed;
  if (root == "run") return word == "id" ? scope.run_id : scope.artifacts;
  if (root == "experiment") return word == "id" ? scope.experiment_id : plan.experiment;
  if (root == "pipeline") return word == "name" ? plan.name : plan.folder.string();
  for (const auto& input : plan.inputs)
    if (root == "inputs" && input.name == word && !input.file.empty()) return input.file.string();
  for (const auto& [name, value] : plan.params)
    if (root == "params" && name == word) return value;
  return fail_at(place, "{} has no value", config::to_string(reference));
}

// Metrics and values of foreach are numbers where they look like it; paths and ids are text.
Json entry_of(const Template& member, const std::string& text) {
  const auto* reference = member.parts.size() == 1 ? std::get_if<Reference>(&member.parts[0]) : nullptr;
  if (reference != nullptr && ((*reference)[2] == "metrics" || (*reference)[2] == "each"))
    if (auto json = parse_json(text); json && json->is_number()) return *json;
  return text;
}

}  // namespace

std::vector<Template> members_of(const Plan& plan, const Template& value) {
  std::vector<Template> members;
  const std::string* group = collected(plan, value);
  if (group == nullptr) return members;
  for (size_t index : plan.groups.at(*group)) {
    Template& member = members.emplace_back(value);
    for (auto& part : member.parts)
      if (auto* reference = std::get_if<Reference>(&part))
        if ((*reference)[0] == "steps" && (*reference)[1] == *group) (*reference)[1] = plan.steps[index].name;
  }
  return members;
}

Result<std::string> resolve(const Plan& plan, const Template& value, const StepResult& self,
                            const Scope& scope) {
  if (auto members = members_of(plan, value); !members.empty()) {
    Json list = Json::array();
    for (const auto& member : members)
      list.push_back(entry_of(member, TRY(resolve(plan, member, self, scope))));
    return dump_json(list);
  }
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

Result<config::Arguments> resolve(const Plan& plan, const PlannedStep& step, const StepResult& self,
                                  const Scope& scope) {
  config::Arguments resolved;
  for (const auto& argument : step.arguments)
    resolved.emplace_back(argument.name, TRY(resolve(plan, argument.value, self, scope)));
  return resolved;
}

}  // namespace tidemill::pipeline
