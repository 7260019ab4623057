// `retry` of a step: after which failures it is tried again, how often, and when (docs/resume.md).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
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
  int exit_status = 0;                       // of kExit
  std::vector<std::string> last_lines = {};  // of its log
};

// A regular expression, found in text in time linear in its length (RE2).
class Pattern {
 public:
  // kInvalid when it is none, or too large a one.
  static Result<Pattern> compile(std::string_view text);
  bool is_in(std::string_view text) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

// Matches failures of a kind, of one exit status, or whose log ends with a line that holds the pattern.
struct FailureRule {
  std::optional<FailureKind> kind;
  std::optional<int> exit_status;
  std::optional<Pattern> in_log;

  bool matches(const Failure& failure) const;
};

// Failures of the step's own and those of the infrastructure are counted apart.
struct RetryPolicy {
  int times = 0;
  int infrastructure = 2;
  std::vector<FailureRule> after;      // which of the step's own failures; empty: all
  std::vector<FailureRule> not_after;  // wins over `after`
  // Before the first retry; times `factor` for each further one, at most max_delay. What is waited is a
  // random part of it.
  std::chrono::milliseconds delay{1'000}, max_delay{300'000};
  int factor = 2;
  // Each failure of kind kMemory gives the next attempt so many times as much of it; 1: as much.
  double more_memory = 1;

  // How many retries there are after failures like this one.
  int budget(const Failure& failure) const;
};

// A number, or a map. 0: the step is not safe to repeat, and never is.
RetryPolicy read_retry(const Node& node, Problems& problems);

}  // namespace tidemill::config
