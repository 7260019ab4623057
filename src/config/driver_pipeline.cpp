#include <iterator>

#include "base/text.h"
#include "config/driver.h"
#include "config/yaml_text.h"

namespace tidemill::config {
namespace {

bool is_plain(std::string_view text) {
  auto is_safe = [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-' || c == '/' || c == '.';
  };
  return !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), is_safe) && text != "null" && text != "true" &&
         text != "false" && to_lower(text) != "yes" && to_lower(text) != "no";
}

std::string scalar(std::string_view text) {
  return is_plain(text) || text == "." ? std::string(text) : yaml_quoted(text);
}

std::string_view type_name(ParameterType type) {
  if (type == ParameterType::kInt) return "int";
  return type == ParameterType::kFloat ? "float" : "string";
}

std::string parameter_line(const Parameter& parameter) {
  if (parameter.type == ParameterType::kString && parameter.default_value && parameter.choices.empty())
    return fmt::format("  {}: {}\n", parameter.name, scalar(*parameter.default_value));
  std::vector<std::string> parts;
  if (parameter.type != ParameterType::kString || !parameter.default_value)
    parts.push_back(fmt::format("type: {}", type_name(parameter.type)));
  if (parameter.default_value) parts.push_back("default: " + scalar(*parameter.default_value));
  if (!parameter.choices.empty()) {
    std::vector<std::string> choices;
    for (const auto& choice : parameter.choices) choices.push_back(scalar(choice));
    parts.push_back("choices: [" + join(choices, ", ") + "]");
  }
  return fmt::format("  {}: {{{}}}{}\n", parameter.name, join(parts, ", "),
                     parameter.default_value ? "" : "  # to be given with -P");
}

void add_step(std::string& out, const DriverStep& step) {
  auto to = std::back_inserter(out);
  fmt::format_to(to, "\n  {}:\n    project: {}\n", step.name, scalar(step.project));
  if (step.entry_point != "main") fmt::format_to(to, "    entry_point: {}\n", scalar(step.entry_point));
  for (const auto& need : step.needs)
    fmt::format_to(to, "    needs: [{}]  # as the driver had it; without, both may run at the same time\n",
                   need);
  if (step.arguments.empty()) return;
  out += "    params:\n";
  for (const auto& [name, value] : step.arguments)
    fmt::format_to(to, "      {}: {}\n", scalar(name), scalar(value));
}

}  // namespace

std::string pipeline_text(const Driver& driver, const std::string& driver_name) {
  std::string out = fmt::format("# The steps of {}: tidemill run .\n", driver_name);
  if (!driver.name.empty()) out += "name: " + scalar(driver.name) + "\n";
  if (!driver.experiment.empty()) out += "experiment: " + scalar(driver.experiment) + "\n";
  if (!driver.parameters.empty()) out += "params:\n";
  for (const auto& parameter : driver.parameters) out += parameter_line(parameter);
  out += driver.parameters.empty() ? "steps:" : "\nsteps:";
  for (const auto& step : driver.steps) add_step(out, step);
  return out;
}

}  // namespace tidemill::config
