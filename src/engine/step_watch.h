// What can be seen of steps while they run, by whoever looks: their runner, its terminal, another process.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/time.h"
#include "sys/terminal.h"
#include "tracking/entities.h"

namespace tidemill::engine {

// How far a step is by what it logs: the metric "progress", from 0 to 1, or "epoch" with a parameter that
// says of how many ("epochs", "num_epochs", "max_epochs", "n_epochs" or "num_train_epochs"). Its note are the
// latest values of the figures, or of its first metrics. nullopt: it logs nothing of the kind.
std::optional<ProgressState> progress_of(const tracking::Run& run, const std::vector<std::string>& figures);

// At most `count` of a file's last lines. Reads no more than its end.
std::vector<std::string> last_lines(const fs::path& log, size_t count);

// Of a process with all that it has started.
struct Load {
  double cpus = 0;      // how many it keeps busy
  uint64_t memory = 0;  // bytes
};

class StepWatch {
 public:
  // attempts: attempts_folder().
  explicit StepWatch(fs::path attempts) : attempts_(std::move(attempts)) {}

  // What the step's program tells in its TIDEMILL_PROGRESS_FILE.
  std::optional<ProgressState> told(const std::string& step_run) const;
  // Measured anew about once a second. nullopt until it has been for the first time.
  std::optional<Load> load(const std::string& step_run);
  void forget(const std::string& step_run) { samples_.erase(step_run); }

 private:
  struct Sample {
    Stopwatch since;
    double cpu_seconds = 0;
    std::optional<Load> load;
  };
  fs::path attempts_;
  std::map<std::string, Sample> samples_;
};

}  // namespace tidemill::engine
