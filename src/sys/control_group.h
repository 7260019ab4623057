// Control groups (cgroup v2): limits for a process with all that it starts, which the kernel enforces.
#pragma once

#include <cstdint>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace tidemill {

struct GroupLimits {
  uint64_t memory = 0;  // bytes, swap excluded; 0: none
  int cpus = 0;         // as many keep busy at a time; 0: none
};

// Makes a group of this name with these limits, and returns its folder: below the group of this process, or
// beside it where that one may not have groups below it. kUnavailable says what this machine lacks for it:
// most often that its groups belong to root, or that it still has cgroup v1.
Result<fs::path> make_control_group(const std::string& name, const GroupLimits& limits);

// The same for the group that a text as that of /proc/self/cgroup names, in the groups mounted at `mount`.
Result<fs::path> make_control_group(const std::string& name, const GroupLimits& limits,
                                    std::string_view own_groups, const fs::path& mount);

// Whether this process has a quota of processor time, of its group or of one above.
bool is_rationed();

// The same for the groups, of version 1 or 2, that a text as that of /proc/self/cgroup names, mounted at
// `mount`.
bool is_rationed(std::string_view own_groups, const fs::path& mount);

// Removes it. Nothing may run in it any more.
void remove_control_group(const fs::path& group);

}  // namespace tidemill
