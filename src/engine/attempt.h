// One attempt of a step, from the moment it is recorded as running until it is settled.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "engine/record.h"
#include "engine/step_cache.h"

namespace tidemill::engine {

struct Attempt {
  StepRun run;
  Decision decision;
  std::string command;
  std::map<std::string, std::string> variables;
  std::vector<std::string> secrets;  // values, which nobody is to see
  std::vector<std::string> gpus;     // that it may use
  fs::path log, progress_file;
  double shown_seconds = -1;  // of the progress that the listener was told last
};

// What is left of an attempt that failed when the step is tried again.
struct FailedAttempt {
  StepRun run;
  Decision decision;
  std::string reason;
};

}  // namespace tidemill::engine
