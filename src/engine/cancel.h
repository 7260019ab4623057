// Ending a run from outside, also one whose runner is no more.
#pragma once

#include <string>

#include "engine/engine.h"
#include "tracking/store.h"

namespace tidemill::engine {

// Ends the runner as Ctrl-C does and waits until it has recorded that; without a living runner, stops the
// steps that still run and marks what is RUNNING as KILLED. Returns what was done, as a sentence. kConflict
// when there is nothing to end.
Result<std::string> cancel(tracking::Store& store, const std::string& run_id, const Options& options);

}  // namespace tidemill::engine
