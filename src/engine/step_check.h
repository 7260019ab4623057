// What can be known to be wrong with a step before anything is recorded.
#pragma once

#include "base/result.h"
#include "engine/engine.h"

namespace tidemill::engine {

// Whether all that the value refers to is known before anything has run. Parameters of the plan may be
// missing when it is only checked, and inputs have no file before they are fetched.
bool is_known(const pipeline::Plan& plan, const config::Template& value);

// Arguments whose values are known already must fit the entry point, and none may be missing.
Result<> check_step(const pipeline::Plan& plan, const pipeline::PlannedStep& step);
// The resources and the secrets must be such as can be had here and now.
Result<> check_here(const pipeline::Plan& plan, const pipeline::PlannedStep& step, const Options& options);

}  // namespace tidemill::engine
