// When a step is to run: "${params.mode} == full and ${steps.train.metrics.accuracy} >= 0.7".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/reference.h"
#include "config/yaml.h"

namespace tidemill::config {

// or, and, not, comparison, in increasing strength; parentheses. A value is a number, a word, a text in
// quotes or a reference; `in` takes a list in brackets. && || ! stand for and, or, not.
struct Expression {
  enum class Kind { kValue, kNot, kAnd, kOr, kEqual, kNotEqual, kLess, kAtMost, kGreater, kAtLeast, kIn };
  Kind kind = Kind::kValue;
  Template value;                 // of kValue
  std::vector<Expression> parts;  // of the others; of kIn: the value and then the list
  Place place;
};

struct Condition {
  std::string text;  // as written
  Expression root;

  std::vector<const Template*> templates() const;
};

// kInvalid at the place of the mistake. `place` is where the text begins in its file.
Result<Condition> parse_condition(std::string_view text, const Place& place);

}  // namespace tidemill::config
