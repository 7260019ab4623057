#include "config/parameter.h"

#include <charconv>
#include <cmath>

#include "base/text.h"
#include "config/reference.h"

namespace tidemill::config {
namespace {

constexpr std::pair<std::string_view, ParameterType> kTypes[] = {
    {"string", ParameterType::kString}, {"str", ParameterType::kString},  {"int", ParameterType::kInt},
    {"integer", ParameterType::kInt},   {"float", ParameterType::kFloat}, {"double", ParameterType::kFloat},
    {"number", ParameterType::kFloat},  {"bool", ParameterType::kBool},   {"boolean", ParameterType::kBool},
    {"path", ParameterType::kPath},     {"uri", ParameterType::kUri},
};

Result<ParameterType> read_type(const Node& node) {
  std::string name = TRY(as_text(node, "type"));
  std::vector<std::string> known;
  for (const auto& [text, type] : kTypes) {
    if (to_lower(name) == text) return type;
    known.emplace_back(text);
  }
  return fail_at(node.place,
                 "unknown parameter type '{}'{}; known are string, int, float, bool, path and uri", name,
                 did_you_mean(name, known));
}

std::optional<double> to_number(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

Result<double> read_number(const Node& node, std::string_view what) {
  std::string text = TRY(as_text(node, what));
  auto value = to_number(text);
  if (!value) return fail_at(node.place, "{} must be a number, not '{}'", what, text);
  return *value;
}

// Taken as it stands, it would hardly be what was meant.
Result<> refuse_reference(const Parameter& parameter, const Place& place) {
  auto value = parse_template(*parameter.default_value, place);
  if (!value) return {};
  for (const auto& reference : value->references())
    if (reference.size() > 1)
      return fail_at(
          place, "the default of parameter '{}' cannot refer to {}: refer to it where the parameter is used",
          parameter.name, to_string(reference));
  return {};
}

Result<Parameter> read_parameter(const Node::Entry& entry, Extras extras) {
  Parameter parameter{.name = entry.key, .place = entry.place};
  const Node& node = entry.value;
  if (!node.is_map()) {
    // In an MLproject a bare word is the type; in a pipeline it is the default value.
    if (extras == Extras::kMlproject) {
      parameter.has_type = node.kind != Node::Kind::kNull;
      if (parameter.has_type) parameter.type = TRY(read_type(node));
    } else {
      parameter.default_value = TRY(as_text(node, entry.key));
    }
    return parameter;
  }
  std::vector<std::string> known = {"type", "default"};
  if (extras == Extras::kPipeline) known.insert(known.end(), {"choices", "min", "max", "description"});
  TRY(check_keys(node, known, fmt::format("parameter '{}'", entry.key)));
  if (const Node* type = node.find("type")) parameter.type = TRY(read_type(*type));
  parameter.has_type = node.find("type") != nullptr;
  if (const Node* value = node.find("default");
      value != nullptr && (value->kind != Node::Kind::kNull || value->quoted))
    parameter.default_value = TRY(as_text(*value, "default"));
  if (const Node* min = node.find("min")) parameter.min = TRY(read_number(*min, "min"));
  if (const Node* max = node.find("max")) parameter.max = TRY(read_number(*max, "max"));
  if (const Node* choices = node.find("choices")) {
    if (choices->kind != Node::Kind::kList) return fail_at(choices->place, "choices must be a list");
    for (const auto& item : choices->items) parameter.choices.push_back(TRY(as_text(item, "a choice")));
  }
  return parameter;
}

}  // namespace

std::vector<Parameter> read_parameters(const Node& map, Extras extras, Problems& problems) {
  std::vector<Parameter> parameters;
  if (map.kind != Node::Kind::kNull && !map.is_map())
    problems.keep(fail_at(map.place, "parameters must be a map of names"));
  for (const auto& entry : map.entries) {
    Parameter unreadable{.name = entry.key, .default_value = "", .place = entry.place};
    auto parameter = problems.keep(read_parameter(entry, extras));
    if (parameter && extras == Extras::kPipeline && parameter->default_value)
      if (problems.keep(refuse_reference(*parameter, parameter->place)))
        if (auto fits = check_value(*parameter, *parameter->default_value); !fits)
          problems.add(std::move(fits).error().in(parameter->place.to_string()));
    parameters.push_back(std::move(parameter).value_or(std::move(unreadable)));
  }
  return parameters;
}

Result<> check_value(const Parameter& parameter, std::string_view value) {
  auto refuse = [&](std::string_view expected) {
    return fail(Code::kInvalid, "parameter '{}' must be {}, not '{}'", parameter.name, expected, value);
  };
  if (!parameter.choices.empty() &&
      std::find(parameter.choices.begin(), parameter.choices.end(), value) == parameter.choices.end())
    return fail(Code::kInvalid, "parameter '{}' must be one of {}, not '{}'{}", parameter.name,
                join(parameter.choices, ", "), value, did_you_mean(value, parameter.choices));
  bool number = parameter.type == ParameterType::kInt || parameter.type == ParameterType::kFloat;
  auto numeric = number ? to_number(value) : std::nullopt;
  if (parameter.type == ParameterType::kInt &&
      value.find_first_not_of("+-0123456789") != std::string_view::npos)
    return refuse("a whole number");
  if (number && !numeric)
    return refuse(parameter.type == ParameterType::kInt ? "a whole number" : "a number");
  if (parameter.type == ParameterType::kBool) {
    std::string lower = to_lower(value);
    if (lower != "true" && lower != "false" && lower != "1" && lower != "0") return refuse("true or false");
  }
  if (parameter.type == ParameterType::kUri && value.find(':') == std::string_view::npos)
    return refuse("a URI");
  if (numeric && parameter.min && *numeric < *parameter.min)
    return refuse(fmt::format("at least {}", *parameter.min));
  if (numeric && parameter.max && *numeric > *parameter.max)
    return refuse(fmt::format("at most {}", *parameter.max));
  return {};
}

const Parameter* find_parameter(const std::vector<Parameter>& parameters, std::string_view name) {
  for (const auto& parameter : parameters)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

std::vector<std::string> names_of(const std::vector<Parameter>& parameters) {
  std::vector<std::string> names;
  for (const auto& parameter : parameters) names.push_back(parameter.name);
  return names;
}

}  // namespace tidemill::config
