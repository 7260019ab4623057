// Brings what a pipeline takes from outside to this machine.
#pragma once

#include "config/input.h"
#include "engine/engine.h"

namespace tidemill::engine {

// That an input of this machine is there; nothing is known of others yet. kInvalid at its place.
Result<> check_input(const config::Input& input);

// Fills in where each input lies, and puts what was fetched in place of the URIs that steps get for
// parameters of type path, as far as they are known before the run. What is fetched is kept by its content: a
// run goes on reading what it began with when another finds something new. kInvalid at its place when
// something is not to be had, or has another content than it must. storage_dir: where the files of parameters
// are put instead, in a new folder, as MLflow does; "": nowhere. At last it runs the steps' probes
// (probes.h).
Result<> fetch_inputs(pipeline::Plan& plan, const Options& options, const fs::path& storage_dir = {});

}  // namespace tidemill::engine
