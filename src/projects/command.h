// Commands that may take minutes: their output in a log, of which the last line is told now and then; Ctrl-C
// ends them.
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
  std::chrono::milliseconds tell_every{10'000};
};

// kCancelled when the user interrupts; a failing command is an error with the end of its log.
Result<> run_long(const LongCommand& command);

}  // namespace tidemill::projects
