// What steps ask about the world outside before it is decided whether they run: `probe` of a step.
#pragma once

#include "engine/engine.h"

namespace tidemill::engine {

// Fills in PlannedStep::probed. Each probe runs in its project's folder with the step's environment and its
// secrets, several at a time; one command line in one folder is run once. kInvalid at its place when a probe
// uses a parameter that is known only later; kUnavailable when it fails, or takes longer than a minute.
Result<> run_probes(pipeline::Plan& plan, const Options& options);

}  // namespace tidemill::engine
