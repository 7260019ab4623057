// A part of a plan: what the user wants to run of it. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "pipeline/plan.h"

namespace tidemill::pipeline {

// Together they leave what lies between: from ... up to .... The steps at the end of a run (on_success,
// on_failure, finally) belong to whole runs only, unless `steps` names them.
struct Selection {
  std::vector<std::string> steps;  // only these and what they need; empty: all
  std::string from;                // only this one and what comes after it; "": from the start

  bool is_all() const { return steps.empty() && from.empty(); }
};

struct Selected {
  Plan plan;
  std::set<std::string> again;   // with `from`: these run in any case,
  std::set<std::string> before;  // and of these an earlier result is used
};

// kInvalid names the nearest step, or says that nothing lies between.
Result<Selected> select(Plan plan, const Selection& selection);

}  // namespace tidemill::pipeline
