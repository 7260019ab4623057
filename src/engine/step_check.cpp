#include "engine/step_check.h"

#include "engine/secrets.h"
#include "pipeline/resolve.h"

namespace tidemill::engine {
bool is_known(const pipeline::Plan& plan, const config::Template& value) {
  const auto references = value.references();
  return std::all_of(references.begin(), references.end(), [&](const config::Reference& reference) {
    if (reference[0] == "params")
      return std::any_of(plan.params.begin(), plan.params.end(),
                         [&](const auto& param) { return param.first == reference[1]; });
    if (reference[0] == "inputs")
      return std::any_of(plan.inputs.begin(), plan.inputs.end(), [&](const auto& input) {
        return input.name == reference[1] && !input.file.empty();
      });
    return reference[0] == "pipeline";
  });
}

Result<> check_here(const pipeline::Plan& plan, const pipeline::PlannedStep& step, const Options& options) {
  if (!step.settings->resources.empty())
    TRY_IN(
        fmt::format("{}: step '{}'", step.settings->resources_place.to_string(), step.name),
        MachineShare::check(step.settings->resources, options.machine ? *options.machine : this_machine()));
  for (const auto& secret : step.secrets) TRY(read_secret(secret, plan.folder));
  return {};
}

// One that was started by itself, not as a step.
static bool is_project(const pipeline::Plan& plan) {
  return plan.steps.size() == 1 && plan.file == plan.steps[0].project->file;
}

Result<> check_step(const pipeline::Plan& plan, const pipeline::PlannedStep& step) {
  config::Arguments known, all;
  pipeline::PlannedStep static_part = step;
  std::erase_if(static_part.arguments, [&](const auto& argument) { return !is_known(plan, argument.value); });
  known = TRY(pipeline::resolve(plan, static_part, {}, {}));
  for (const auto& parameter : step.entry->parameters) {
    bool passed = false;
    for (const auto& argument : step.arguments) passed = passed || argument.name == parameter.name;
    if (!passed && !parameter.default_value && is_project(plan))
      return config::fail_at(parameter.place, "parameter '{}' has no default; give it with -P {}=VALUE",
                             parameter.name, parameter.name);
    if (!passed && !parameter.default_value)
      return config::fail_at(parameter.place, "step '{}' does not pass parameter '{}', which has no default",
                             step.name, parameter.name);
    for (const auto& [name, value] : known)
      if (name == parameter.name && parameter.type != config::ParameterType::kPath)
        TRY_IN(parameter.place.to_string(), config::check_value(parameter, value));
  }
  return config::command_line(*step.entry, {}).map([](const std::string&) {});
}

}  // namespace tidemill::engine
