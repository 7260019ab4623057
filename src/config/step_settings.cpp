#include "config/step_settings.h"

#include <algorithm>
#include <cctype>

#include "base/files.h"
#include "base/text.h"

namespace tidemill::config {
namespace {

constexpr int64_t kLongestTtl = int64_t{100} * 366 * 24 * 3600;  // seconds

Result<std::vector<std::string>> read_names(const Node* node, std::string_view what) {
  std::vector<std::string> names;
  if (node == nullptr || node->kind == Node::Kind::kNull) return names;
  if (node->kind != Node::Kind::kList) return fail_at(node->place, "{} must be a list", what);
  for (const auto& item : node->items) {
    names.push_back(TRY(as_text(item, what)));
    if (names.back().empty()) return fail_at(item.place, "an entry of {} is empty", what);
  }
  return names;
}

Result<std::vector<Template>> read_templates(const Node* node, std::string_view what) {
  std::vector<Template> templates;
  if (node == nullptr || node->kind == Node::Kind::kNull) return templates;
  if (node->kind != Node::Kind::kList) return fail_at(node->place, "{} must be a list", what);
  for (const auto& item : node->items)
    templates.push_back(TRY(parse_template(TRY(as_text(item, what)), item.place)));
  return templates;
}

Result<std::vector<std::string>> read_code(const Node& node) {
  auto paths = TRY(read_names(&node, "code"));
  for (const auto& path : paths)
    for (const auto& part : split(path, '/'))
      if (path.starts_with('/') || part == "..")
        return fail_at(node.place,
                       "code '{}' leads out of the project's folder; use inputs for what lies "
                       "elsewhere",
                       path);
  return paths;
}

// NAME: value for variables that are set, NAME: with nothing for those of the caller that count.
Result<std::vector<Variable>> read_environment(const Node* node) {
  std::vector<Variable> variables;
  if (node == nullptr || node->kind == Node::Kind::kNull) return variables;
  if (!node->is_map())
    return fail_at(node->place,
                   "environment must be a map of variables; leave a value empty to take the "
                   "caller's");
  for (const auto& entry : node->entries) {
    if (entry.key.empty() || entry.key.find('=') != std::string::npos)
      return fail_at(entry.place, "'{}' cannot be the name of a variable", entry.key);
    Variable variable{entry.key, std::nullopt};
    if (entry.value.kind != Node::Kind::kNull)
      variable.value = TRY(parse_template(TRY(as_text(entry.value, entry.key)), entry.value.place));
    variables.push_back(std::move(variable));
  }
  return variables;
}

Result<std::vector<Named>> read_named(const Node& node, std::string_view what) {
  if (node.kind != Node::Kind::kList) return fail_at(node.place, "{} must be a list", what);
  std::vector<Named> names;
  for (const auto& item : node.items) names.push_back({TRY(as_text(item, what)), item.place});
  return names;
}

// Whether and how long a result is used again: true, false, or a map.
void read_cache(const Node& node, StepSettings& settings, Problems& problems) {
  settings.cache_place = node.place;
  if (!node.is_map()) {
    if (auto on = problems.keep(as_bool(node, "cache"))) settings.cache = *on ? Caching::kOn : Caching::kOff;
    return;
  }
  check_keys(node, {"ttl"}, "cache", problems);
  if (const Node* ttl = node.find("ttl"))
    settings.ttl = problems.keep(as_duration(*ttl, "cache.ttl", 1, kLongestTtl));
}

Result<> read_frozen(const Node& node, StepSettings& settings) {
  if (!TRY(as_bool(node, "frozen"))) return {};
  if (settings.cache == Caching::kOff || settings.ttl)
    return fail_at(node.place, "frozen: its result is used for good, and cache says otherwise ({})",
                   settings.cache_place.to_string());
  settings.cache = Caching::kFrozen;
  settings.cache_place = node.place;
  return {};
}

Result<Probe> read_probe(const Node& node, const StepSettings& settings) {
  Probe probe{std::string(trim(TRY(as_text(node, "probe")))), node.place};
  if (probe.command.empty()) return fail_at(node.place, "the probe is empty");
  if (settings.cache != Caching::kOn)
    return fail_at(node.place, "probe: whether the step runs does not depend on it ({})",
                   settings.cache_place.to_string());
  return probe;
}

Result<std::string> read_output_path(const Node& node) {
  const std::string text = TRY(as_text(node, "an output"));
  const fs::path path = fs::path(text).lexically_normal();
  const bool leads_out = path.is_absolute() || (!path.empty() && *path.begin() == "..");
  if (leads_out || text.find("${") != std::string::npos)
    return fail_at(node.place, "output '{}' must be a path below the step's artifact folder", text);
  std::string plain = path.string();
  while (plain.ends_with('/')) plain.pop_back();
  if (plain.empty() || plain == ".")
    return fail_at(
        node.place,
        "output '{}' names no file or folder; all that the step leaves is ${{steps.NAME.artifacts}}", text);
  return plain;
}

std::vector<DeclaredOutput> read_outputs(const Node& node, Problems& problems) {
  std::vector<DeclaredOutput> outputs;
  if (node.kind != Node::Kind::kNull && !node.is_map())
    problems.keep(fail_at(node.place, "outputs of a step must be a map of names to paths"));
  for (const auto& entry : node.entries) {
    if (!is_plain_name(entry.key))
      problems.keep(fail_at(entry.place, "'{}' cannot be an output's name: letters, digits, '_' and '-' only",
                            entry.key));
    if (auto path = problems.keep(read_output_path(entry.value))) outputs.push_back({entry.key, *path});
  }
  return outputs;
}

Result<Condition> read_condition(const Node& node) {
  Place place = node.place;
  if (node.quoted) ++place.column;
  return parse_condition(TRY(as_text(node, "when")), place);
}

Result<uint64_t> read_log_limit(const Node& node) {
  constexpr uint64_t kLeast = 64 << 10;
  uint64_t bytes = TRY_IN(node.place.to_string(), parse_size(TRY(as_text(node, "log_limit"))));
  if (bytes < kLeast) return fail_at(node.place, "log_limit must be 64KiB or more");
  return bytes;
}

Result<Timeouts::Time> read_timeout(const Node* node, std::string_view what) {
  if (node == nullptr) return Timeouts::Time();
  return Timeouts::Time(TRY(as_duration(*node, what, 1, kLongestTimeout)));
}

Result<std::vector<std::string>> read_variable_names(const Node& node) {
  if (node.kind != Node::Kind::kList)
    return fail_at(node.place, "inherit must be true, false, or a list of the caller's variables");
  auto names = TRY(read_names(&node, "inherit"));
  for (const auto& name : names)
    if (name.find('=') != std::string::npos || name.substr(0, name.size() - 1).find('*') != std::string::npos)
      return fail_at(node.place,
                     "'{}' in inherit is neither the name of a variable nor the beginning of some, as AWS_*",
                     name);
  return names;
}

}  // namespace

std::optional<std::vector<std::string>> read_inherit(const Node& node, Problems& problems) {
  if (node.kind != Node::Kind::kScalar) return problems.keep(read_variable_names(node));
  auto all = problems.keep(as_bool(node, "inherit (or a list of variables)"));
  return all.value_or(true) ? std::nullopt : std::optional(std::vector<std::string>{});
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
}

Result<Timeouts> read_timeouts(const Node& node) {
  Timeouts timeouts;
  if (!node.is_map()) {
    timeouts.attempt = TRY(read_timeout(&node, "timeout"));
    return timeouts;
  }
  TRY(check_keys(node, {"attempt", "total", "waiting"}, "timeout"));
  timeouts.attempt = TRY(read_timeout(node.find("attempt"), "timeout.attempt"));
  timeouts.total = TRY(read_timeout(node.find("total"), "timeout.total"));
  timeouts.waiting = TRY(read_timeout(node.find("waiting"), "timeout.waiting"));
  return timeouts;
}

const std::vector<std::string>& setting_names() {
  static const std::vector<std::string> names = {
      "cache",     "inputs",  "code",      "programs", "environment",   "when", "timeout",
      "figures",   "retry",   "resources", "secrets",  "allow_failure", "gate", "validate",
      "log_limit", "outputs", "frozen",    "probe",    "inherit"};
  return names;
}

Shared<StepSettings> read_settings(const Node& step, Problems& problems) {
  auto is_given = [&](const std::string& name) { return step.find(name) != nullptr; };
  if (std::none_of(setting_names().begin(), setting_names().end(), is_given)) return {};
  StepSettings settings;
  auto keep = [&](auto result, auto otherwise) {
    return problems.keep(std::move(result)).value_or(std::move(otherwise));
  };
  if (const Node* cache = step.find("cache")) read_cache(*cache, settings, problems);
  if (const Node* frozen = step.find("frozen")) problems.keep(read_frozen(*frozen, settings));
  if (const Node* probe = step.find("probe")) settings.probe = problems.keep(read_probe(*probe, settings));
  settings.inputs = keep(read_templates(step.find("inputs"), "inputs"), settings.inputs);
  if (const Node* code = step.find("code"); code != nullptr && code->kind != Node::Kind::kNull)
    settings.code = problems.keep(read_code(*code));
  settings.programs = keep(read_names(step.find("programs"), "programs"), settings.programs);
  settings.environment = keep(read_environment(step.find("environment")), settings.environment);
  if (const Node* outputs = step.find("outputs")) settings.outputs = read_outputs(*outputs, problems);
  if (const Node* inherit = step.find("inherit")) settings.inherit = read_inherit(*inherit, problems);
  if (const Node* when = step.find("when")) settings.when = problems.keep(read_condition(*when));
  if (const Node* allow = step.find("allow_failure"))
    settings.allow_failure = keep(as_bool(*allow, "allow_failure"), false);
  if (const Node* timeout = step.find("timeout"))
    settings.timeout = keep(read_timeouts(*timeout), settings.timeout);
  if (const Node* retry = step.find("retry")) settings.retry = read_retry(*retry, problems);
  if (const Node* resources = step.find("resources")) {
    settings.resources = read_resources(*resources, problems);
    settings.resources_place = resources->place;
  }
  if (settings.retry.more_memory > 1 && settings.resources.memory == 0)
    problems.keep(fail_at(step.find("retry")->place,
                          "retry.more_memory wants to know of how much: add resources: {{memory: 4G}}"));
  if (const Node* limit = step.find("log_limit"))
    settings.log_limit = keep(read_log_limit(*limit), settings.log_limit);
  if (const Node* secrets = step.find("secrets"))
    settings.secrets = keep(read_named(*secrets, "secrets"), settings.secrets);
  if (const Node* checks = step.find("validate")) settings.validate = read_data_checks(*checks, problems);
  if (const Node* gate = step.find("gate")) settings.gate = problems.keep(read_gate(*gate));
  settings.figures = keep(read_names(step.find("figures"), "figures"), settings.figures);
  return settings;
}

}  // namespace tidemill::config
