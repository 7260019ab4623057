// Values with references: "lr-${params.learning_rate}". "$${" stands for "${".
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/yaml.h"

namespace tidemill::config {

// A dotted name: {"steps", "train", "artifacts"}.
using Reference = std::vector<std::string>;

struct Template {
  std::vector<std::variant<std::string, Reference>> parts;
  Place place;

  std::vector<Reference> references() const;
};

// "${" without "}", an empty name or a character that no name has: kInvalid at the place.
Result<Template> parse_template(std::string_view text, const Place& place);
std::string to_string(const Reference& reference);  // "${steps.train.artifacts}"

}  // namespace tidemill::config
