// Whether the kernel has killed processes because memory ran out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"

namespace tidemill {

// The kernel does not say whom it killed, only how many: in this process's control group where it can be read
// (cgroup v2: memory.events, v1: memory.oom_control), else on the machine (/proc/vmstat).
class MemoryWatch {
 public:
  MemoryWatch();
  // Reads a file with a line "oom_kill N".
  explicit MemoryWatch(fs::path file);

  // Whether the number has grown since the last call, or since the start.
  bool killed_something();

 private:
  std::optional<uint64_t> count() const;

  fs::path file_;
  std::optional<uint64_t> last_;
};

// The file of the memory controller in a control group, by the text of /proc/self/cgroup; "" when it names
// none.
fs::path memory_events_file(std::string_view cgroups, const fs::path& root = "/sys/fs/cgroup");

}  // namespace tidemill
