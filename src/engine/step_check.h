// What can be known to be wrong with a step before anything is recorded.
#pragma once

#include "base/result.h"
#include "engine/engine.h"

namespace tidemill::engine {

// Arguments whose values are known already must fit the entry point, and none may be missing.
Result<> check_step(const pipeline::Plan& plan, const pipeline::PlannedStep& step);
// The resources and the secrets must be such as can be had here and now.
Result<> check_here(const pipeline::Plan& plan, const pipeline::PlannedStep& step, const Options& options);

}  // namespace tidemill::engine
