// What earlier runners have done of a run that goes on now: steps that are done, and processes that may still
// run.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/events.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::engine {

// The folder of what is kept of processes while they run, below the engine's (Options::state_dir).
fs::path attempts_folder(const fs::path& state_dir);
// In it, where the record of an attempt's process lies (sys/minded_process.h), and its progress file.
fs::path process_record(const fs::path& folder, const std::string& step_run);
fs::path progress_file(const fs::path& folder, const std::string& step_run);
// The step's command, where it is too long for an argument.
fs::path command_file(const fs::path& folder, const std::string& step_run);
// What a step writes where there are secrets, which others may see only once they are masked.
fs::path raw_progress_file(const fs::path& folder, const std::string& step_run);
// Whether the step's process lives, with a runner or without.
bool is_running(const fs::path& folder, const std::string& step_run);
// In the artifacts of the pipeline's run, or of the project's.
fs::path log_file(const fs::path& artifacts, const std::string& step, int attempt);

bool was_done(const tracking::StepRecord& record);

class Earlier {
 public:
  Earlier() = default;
  // Of the steps of the plan; of others that still run, the processes are stopped.
  static Result<Earlier> load(const pipeline::Plan& plan, tracking::Store& store, const std::string& run_id,
                              const fs::path& attempts);

  // What is known of the step, and not taken yet; nullptr: nothing.
  const tracking::StepRecord* find(size_t step) const;
  std::optional<tracking::StepRecord> take(size_t step);
  // Those that were running when their runner ended.
  std::vector<size_t> running() const;

 private:
  std::map<size_t, tracking::StepRecord> records_;
};

}  // namespace tidemill::engine
