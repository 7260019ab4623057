// What a step holds of its machine while it runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/problems.h"
#include "config/yaml.h"

namespace tidemill::config {

struct Resources {
  int cpus = 0;
  uint64_t memory = 0;  // bytes
  int gpus = 0;
  std::vector<std::string> locks;  // names: one step at a time holds each

  bool empty() const { return cpus == 0 && memory == 0 && gpus == 0 && locks.empty(); }
  auto operator<=>(const Resources&) const = default;
};

// {cpus: 2, memory: 4G, gpus: 1, locks: [license]}
Resources read_resources(const Node& node, Problems& problems);
// "512M", "4G" (powers of 1000), "4Gi" or "4GiB" (of 1024), or bytes; 0 is a size.
Result<uint64_t> parse_size(const std::string& text);

}  // namespace tidemill::config
