// `gate` of a step: what its metric must reach before anything behind it runs, and what becomes of a model
// that has passed (docs/gates-and-data-checks.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/reference.h"
#include "config/yaml.h"

namespace tidemill::config {

struct Gate {
  enum class Goal { kHigher, kLower };  // which values of the metric are better

  std::string metric;  // that the step logs
  Goal goal = Goal::kHigher;
  std::optional<Template> least, most;    // numbers
  std::optional<Template> over_champion;  // how much better than the champion at least; needs a model
  std::optional<Template> model;          // what has passed is registered under this name; nullopt: nowhere
  std::string alias = "champion";         // is moved to it
  std::optional<Template> artifacts;      // the folder that is registered; nullopt: the step's own
  Place place;

  std::vector<const Template*> templates() const;
};

Result<Gate> read_gate(const Node& node);

}  // namespace tidemill::config
