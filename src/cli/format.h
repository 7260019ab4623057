// How experiments, runs and steps are printed.
#pragma once

#include <string>

#include "base/json.h"
#include "pipeline/plan.h"
#include "tracking/entities.h"

namespace tidemill::cli {

Json to_json(const tracking::Experiment& experiment);
Json to_json(const tracking::Run& run);
Json to_json(const pipeline::Plan& plan, const pipeline::PlannedStep& step);

std::string duration_of(const tracking::RunInfo& run);  // "" while it runs
// "FAILED", and of a pipeline's run what more is known: "FAILED (timed out)".
std::string status_of(const tracking::Run& run, bool colour);
std::string number(double value);  // up to six digits: "0.912", "50000"

}  // namespace tidemill::cli
