// What `tidemill doctor` looks at. Each check adds what it finds, good or bad.
#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"

namespace tidemill::cli {

struct Finding {
  enum class Level { kGood, kWarning, kError };
  Level level = Level::kGood;
  std::string subject;  // "store", "disk", ...
  std::string text;
  std::string fix = {};  // a command or a sentence; "" where there is nothing to do
};
using Findings = std::vector<Finding>;

void check_versions(Findings& findings);
void check_store(const Context& context, Findings& findings);
void check_disk(const Context& context, Findings& findings);
void check_containers(Findings& findings);
void check_port(uint16_t port, Findings& findings);

}  // namespace tidemill::cli
