// How an attempt of a step ended, and what is told of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "config/step_settings.h"
#include "engine/attempt.h"
#include "engine/events.h"
#include "engine/supervisor.h"
#include "tracking/store.h"

namespace tidemill::engine {

struct Verdict {
  StepState state = StepState::kFinished;
  std::string reason;                      // "" when it finished
  std::optional<config::Failure> failure;  // when it failed
};
// attempt: it may have been stopped at its limit, or by the run. limits_memory: a container that is held to a
// limit, in which nothing but that kills. A program may end its run itself: when it says FAILED, its exit
// status 0 does not make it a success; nor does it when the step has not left what it declares.
Result<Verdict> judge(const Ended& ended, const Attempt& attempt, const config::StepSettings& settings,
                      const std::string& stopped_by, bool limits_memory, tracking::Store& store);
StepState state_after(config::FailureKind kind);
// Why a step's process could not be started, by errno or as MindedProcess::start tells it: kInfrastructure
// where the machine is short of something, which may pass; kExit where the command or its folder is wrong.
config::FailureKind kind_of_start_error(int error_number);
config::FailureKind kind_of_start_error(const Error& error);

tracking::RunStatus run_status(StepState state);
tracking::RunStatus run_status(RunOutcome outcome);
std::vector<tracking::Metric> usage_metrics(const MindedEnd& end);

}  // namespace tidemill::engine
