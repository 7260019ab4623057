// What a process uses of the machine, together with all that it has started.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace tidemill {

struct TreeUsage {
  double cpu_seconds = 0;     // so far, with children that have ended and been waited for
  uint64_t memory_bytes = 0;  // resident, without what the processes share with others
  int processes = 0;
};

// From /proc. What comes and goes meanwhile may be missed. nullopt when there is no such process.
std::optional<TreeUsage> tree_usage(pid_t root);

}  // namespace tidemill
