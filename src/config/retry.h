// `retry` of a step: after which failures it is tried again, how often, and when (docs/resume.md).
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "config/yaml.h"

namespace tidemill::config {

// The kinds of failure of one attempt.
enum class FailureKind {
  kExit,           // an exit status other than 0, or the program ended its run as FAILED
  kSignal,         // killed by a signal that did not come from the engine
  kTimeout,        // stopped because it took too long
  kMemory,         // killed because memory ran out
  kInfrastructure  // not the step's own: it could not be started, or its process was lost
};
std::string_view to_string(FailureKind kind);  // "exit", "signal", "timeout", "memory", "infrastructure"

struct Failure {
  FailureKind kind = FailureKind::kExit;
  int exit_status = 0;  // of kExit
};

// Matches failures of a kind, or of one exit status.
struct FailureRule {
  FailureKind kind = FailureKind::kExit;
  std::optional<int> exit_status;

  bool matches(const Failure& failure) const {
    return failure.kind == kind && (!exit_status || *exit_status == failure.exit_status);
  }
};

// Failures of the step's own and those of the infrastructure are counted apart.
struct RetryPolicy {
  int times = 0;
  int infrastructure = 2;
  std::vector<FailureRule> after;      // which of the step's own failures; empty: all
  std::vector<FailureRule> not_after;  // wins over `after`
  // Before the first retry; times `factor` for each further one, at most max_delay. What is waited is a
  // random part of it.
  std::chrono::seconds delay{1}, max_delay{300};
  int factor = 2;

  // How many retries there are after failures like this one.
  int budget(const Failure& failure) const;
};

// A number, or a map. 0: the step is not safe to repeat, and never is. node: nullptr when there is none.
Result<RetryPolicy> read_retry(const Node* node);

}  // namespace tidemill::config
