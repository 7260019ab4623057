// What can be known to be wrong with a step before anything is recorded.
#pragma once

#include "base/result.h"
#include "engine/engine.h"

namespace tidemill::engine {

// Arguments whose values are known already must fit the entry point, none may be missing, and the project's
// environment must be one that can be had.
Result<> check_step(const pipeline::Plan& plan, const pipeline::PlannedStep& step, const Options& options);

}  // namespace tidemill::engine
