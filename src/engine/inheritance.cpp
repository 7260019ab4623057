#include "engine/inheritance.h"

#include <unistd.h>

#include <algorithm>

namespace tidemill::engine {
namespace {

const std::vector<std::string> kNeeded = {"PATH", "HOME", "USER",   "LOGNAME",  "SHELL",     "LANG",
                                          "LC_*", "TZ",   "TMPDIR", "MLFLOW_*", "TIDEMILL_*"};

bool matches(std::string_view name, std::string_view pattern) {
  if (!pattern.ends_with('*')) return name == pattern;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool is_among(std::string_view name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches(name, pattern); });
}

}  // namespace

std::vector<std::string> secret_variables(const pipeline::Plan& plan,
                                          const std::map<std::string, std::string>& own) {
  std::vector<std::string> names;
  for (const auto& secret : plan.secrets)
    if (!secret.variable.empty() && own.count(secret.variable) == 0) names.push_back(secret.variable);
  return names;
}

std::vector<std::string> hidden_variables(const pipeline::Plan& plan, const pipeline::PlannedStep& step,
                                          const std::map<std::string, std::string>& own) {
  const config::StepSettings& settings = *step.settings;
  std::vector<std::string> hidden = secret_variables(plan, own);
  if (!settings.inherit) return hidden;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::string name(text.substr(0, text.find('=')));
    const bool is_asked_for =
        own.count(name) > 0 || is_among(name, kNeeded) || is_among(name, *settings.inherit) ||
        std::any_of(settings.environment.begin(), settings.environment.end(),
                    [&](const config::Variable& wanted) { return wanted.name == name; });
    if (!is_asked_for) hidden.push_back(name);
  }
  return hidden;
}

}  // namespace tidemill::engine
