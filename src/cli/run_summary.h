// What is printed when a run has ended.
#pragma once

#include <string>

#include "cli/commands.h"
#include "engine/engine.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::cli {

enum class Resumable { kNo, kYes };  // whether `tidemill resume` can go on with it when it has not finished
// Its steps with their figures to stdout, what to look at next to stderr.
Result<> print_summary(tracking::Store& store, const pipeline::Plan& plan, const engine::Outcome& outcome,
                       Resumable resumable, const Context& context);

// Where else it is recorded; whether all of it is.
bool tell_where(const engine::Outcome& outcome, const std::string& tracking_uri);

}  // namespace tidemill::cli
