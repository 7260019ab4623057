// Typed parameters, as MLproject entry points and pipelines declare them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/problems.h"
#include "config/yaml.h"

namespace tidemill::config {

// MLflow's types; it checks only uri and path, we check all of them.
enum class ParameterType { kString, kInt, kFloat, kBool, kPath, kUri };

struct Parameter {
  std::string name;
  ParameterType type = ParameterType::kString;
  bool has_type = false;                     // that is written
  std::optional<std::string> default_value;  // nullopt: must be given
  std::vector<std::string> choices;          // empty: any value
  std::optional<double> min, max;            // of int and float
  Place place;
};

enum class Extras { kMlproject, kPipeline };  // a pipeline's parameters may also have choices, min and max

// The map below `params:` or `parameters:`. A parameter that cannot be read is among the result with its name
// alone, so that what uses it is not wrong as well.
std::vector<Parameter> read_parameters(const Node& map, Extras extras, Problems& problems);

// Whether a value fits the declaration; the message names the parameter and what it takes.
Result<> check_value(const Parameter& parameter, std::string_view value);

const Parameter* find_parameter(const std::vector<Parameter>& parameters, std::string_view name);
std::vector<std::string> names_of(const std::vector<Parameter>& parameters);

}  // namespace tidemill::config
