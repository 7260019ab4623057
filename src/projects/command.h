// Commands that may take minutes: their output in a log, Ctrl-C ends them.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"
#include "sys/process.h"

namespace tidemill::projects {

struct LongCommand {
  std::vector<std::string> argv;
  fs::path folder;  // to run in
  fs::path log;     // appended
  std::map<std::string, std::string> variables = {};
};

// kCancelled when the user interrupts; a failing command is an error with the end of its log.
Result<> run_long(const LongCommand& command);

}  // namespace tidemill::projects
