// Which of the caller's variables a step does not see.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pipeline/plan.h"

namespace tidemill::engine {

// Names of this process's variables that secrets come from. own: what the step is given, which counts in any
// case.
std::vector<std::string> secret_variables(const pipeline::Plan& plan,
                                          const std::map<std::string, std::string>& own);

// The same, and with `inherit` those that it does not name. What every program needs stays, as does what
// MLflow's clients and `tidemill` go by.
std::vector<std::string> hidden_variables(const pipeline::Plan& plan, const pipeline::PlannedStep& step,
                                          const std::map<std::string, std::string>& own);

}  // namespace tidemill::engine
