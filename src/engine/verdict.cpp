#include "engine/verdict.h"

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "base/time.h"

namespace tidemill::engine {

using tracking::RunStatus;

namespace {

Verdict failed(config::FailureKind kind, std::string reason, int exit_status = 0) {
  return {state_after(kind), std::move(reason), config::Failure{kind, exit_status}};
}

// "model.pt (output model), ..."
std::string missing_outputs(const config::StepSettings& settings, const fs::path& artifacts) {
  std::vector<std::string> missing;
  std::error_code ignored;
  for (const auto& output : settings.outputs)
    if (const auto type = fs::status(artifacts / output.path, ignored).type();
        type != fs::file_type::regular && type != fs::file_type::directory)
      missing.push_back(fmt::format("{} (output '{}')", output.path, output.name));
  return join(missing, ", ");
}

}  // namespace

StepState state_after(config::FailureKind kind) {
  switch (kind) {
    case config::FailureKind::kTimeout:
      return StepState::kTimedOut;
    case config::FailureKind::kMemory:
      return StepState::kOutOfMemory;
    case config::FailureKind::kInfrastructure:
      return StepState::kCrashed;
    default:
      return StepState::kFailed;
  }
}

config::FailureKind kind_of_start_error(int error) {
  constexpr int kOfTheMachine[] = {EAGAIN, EBUSY,  EDQUOT, EIO,    EMFILE,    ENFILE, ENOBUFS,
                                   ENODEV, ENOMEM, ENOSPC, ESTALE, ETIMEDOUT, ETXTBSY};
  return std::ranges::find(kOfTheMachine, error) != std::end(kOfTheMachine)
             ? config::FailureKind::kInfrastructure
             : config::FailureKind::kExit;
}

config::FailureKind kind_of_start_error(const Error& error) {
  const bool is_wrong =
      error.code == Code::kNotFound || error.code == Code::kDenied || error.code == Code::kInvalid;
  return is_wrong ? config::FailureKind::kExit : config::FailureKind::kInfrastructure;
}

Result<Verdict> judge(const Ended& ended, const Attempt& attempt, const config::StepSettings& settings,
                      const std::string& stopped_by, bool limits_memory, tracking::Store& store) {
  using Kind = config::FailureKind;
  if (!ended.end)
    return failed(Kind::kInfrastructure,
                  "its process was lost: it was killed together with its minder, or the machine went down");
  if (const int error = ended.end->start_errno; error != 0)
    return failed(kind_of_start_error(error),
                  error == E2BIG
                      ? "its command and variables are longer than this system allows for a program"
                      : errno_error("start the command of step", error).message);
  const Exit& exit = ended.end->exit;
  if (ended.end->stopped == StopCause::kAsked) return Verdict{StepState::kKilled, stopped_by, {}};
  if (ended.end->stopped == StopCause::kTimeout)
    return failed(Kind::kTimeout, "did not end within " + attempt.limit);
  if (ended.out_of_memory || (limits_memory && was_killed(exit)))
    return failed(Kind::kMemory, exit.describe() + ": memory ran out");
  if (exit.signal != 0) return failed(Kind::kSignal, exit.describe());
  if (!exit.ok()) return failed(Kind::kExit, exit.describe(), exit.status);
  RunStatus status = TRY(store.run(attempt.run.id)).info.status;
  if (status == RunStatus::kFailed || status == RunStatus::kKilled)
    return failed(Kind::kExit, fmt::format("its program ended the run as {}", tracking::to_string(status)));
  if (std::string missing = missing_outputs(settings, attempt.run.artifacts); !missing.empty())
    return failed(Kind::kExit, "it has ended well, but has not made " + missing);
  return Verdict{};
}

RunStatus run_status(StepState state) {
  switch (state) {
    case StepState::kFinished:
    case StepState::kReused:
      return RunStatus::kFinished;
    case StepState::kKilled:
      return RunStatus::kKilled;
    default:
      return RunStatus::kFailed;
  }
}

RunStatus run_status(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kSucceeded:
    case RunOutcome::kSucceededWithFailures:
      return RunStatus::kFinished;
    case RunOutcome::kCancelled:
      return RunStatus::kKilled;
    default:
      return RunStatus::kFailed;
  }
}

std::vector<tracking::Metric> usage_metrics(const MindedEnd& end) {
  const Exit& exit = end.exit;
  int64_t now = now_ms();
  return {{"system/step_seconds", end.seconds, now, 0},
          {"system/step_cpu_seconds", exit.user_seconds + exit.system_seconds, now, 0},
          {"system/step_memory_megabytes", static_cast<double>(exit.max_resident_bytes) / 1e6, now, 0}};
}

}  // namespace tidemill::engine
