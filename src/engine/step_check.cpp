#include "engine/step_check.h"

#include "engine/secrets.h"
#include "pipeline/resolve.h"

namespace tidemill::engine {
namespace {

// Parameters of the plan may be missing when it is only checked.
bool is_known_before_the_run(const pipeline::Plan& plan, const config::Template& value) {
  for (const auto& reference : value.references()) {
    auto is_meant = [&](const auto& param) { return param.first == reference[1]; };
    bool known = reference[0] == "params" ? std::any_of(plan.params.begin(), plan.params.end(), is_meant)
                                          : reference[0] == "pipeline";
    if (!known) return false;
  }
  return true;
}

}  // namespace

Result<> check_here(const pipeline::Plan& plan, const pipeline::PlannedStep& step, const Options& options) {
  if (!step.settings->resources.empty())
    TRY_IN(
        fmt::format("{}: step '{}'", step.settings->resources_place.to_string(), step.name),
        MachineShare::check(step.settings->resources, options.machine ? *options.machine : this_machine()));
  for (const auto& secret : step.secrets) TRY(read_secret(secret, plan.folder));
  return {};
}

Result<> check_step(const pipeline::Plan& plan, const pipeline::PlannedStep& step) {
  config::Arguments known, all;
  pipeline::PlannedStep static_part = step;
  std::erase_if(static_part.arguments,
                [&](const auto& argument) { return !is_known_before_the_run(plan, argument.value); });
  known = TRY(pipeline::resolve(plan, static_part, {}, {}));
  for (const auto& parameter : step.entry->parameters) {
    bool passed = false;
    for (const auto& argument : step.arguments) passed = passed || argument.name == parameter.name;
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
