// Whether a condition holds. Pure.
#pragma once

#include <functional>
#include <string>

#include "config/condition.h"

namespace tidemill::pipeline {

struct Truth {
  bool holds = false;
  std::string shown;  // the condition with values for its references: "quick == full"
};

// What a value stands for; an error ends the evaluation.
using ValueOf = std::function<Result<std::string>(const config::Template&)>;

// Numbers are compared as numbers, all else as text; `and` and `or` look at their right side only when it
// matters. kInvalid at its place when a value that has to be true or false is neither, or texts are to be
// ordered.
Result<Truth> evaluate(const config::Condition& condition, const ValueOf& value_of);

}  // namespace tidemill::pipeline
