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

// What the user wants of a run that goes on, beside what is left to do.
struct Continuation {
  std::string from;               // this one and what comes after it run in any case; "": none
  std::string only;               // nothing but this one runs, in any case; "": all that is left
  std::vector<std::string> skip;  // these do not run
};

// By name.
struct Continued {
  std::set<std::string> again;  // run in any case
  std::set<std::string> stand;  // do not run, and others need what they have left
  std::set<std::string> left;   // do not run, and nobody needs anything of them
};

// kInvalid names the nearest step.
Result<Continued> continue_with(const Plan& plan, const Continuation& wanted);

}  // namespace tidemill::pipeline
