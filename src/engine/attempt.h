// One attempt of a step, from the moment it is recorded as running until it is settled.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/time.h"
#include "engine/machine.h"
#include "engine/record.h"
#include "engine/step_cache.h"

namespace tidemill::engine {

struct Attempt {
  StepRun run;
  Decision decision;
  std::string command;
  std::string id_for_steps;  // of its run; see Record
  std::map<std::string, std::string> variables;
  std::vector<std::string> secrets;  // values, which nobody is to see
  std::set<fs::path> paths;          // files and folders that the parameters name
  config::Resources resources;       // that it holds
  Grant grant;                       // of the machine
  std::optional<std::chrono::milliseconds> timeout;
  std::string limit = "its timeout";  // what that stands for: "its timeout of 10 s"
  fs::path log, progress_file;
  fs::path checkpoints;       // a folder that all attempts of the step share; "": there is none
  double shown_seconds = -1;  // of the progress that the listener was told last
  Stopwatch since_asked;      // what it logs, for want of a progress file
};

// What is left of an attempt when its step begins once more.
struct PastAttempt {
  StepRun run;
  Decision decision;
  std::string reason;  // why it was not enough; "": why the step runs is told by itself
  StepState state = StepState::kFailed;
};

}  // namespace tidemill::engine
