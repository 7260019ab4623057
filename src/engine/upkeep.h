// Looking after the results that are kept: whether their files are what they were, and room for more. Safe
// beside runs, also of other processes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tracking/kept_results.h"

namespace tidemill::engine {

// Held by a run from the decision to reuse a result until that is recorded, and by upkeep while results are
// taken away: in between, nothing that is recorded tells that a result is needed.
class ResultsLock {
 public:
  enum class Mode { kUse, kTakeAway };  // many may use at once
  // Waits. state_dir "": holds nothing.
  static Result<ResultsLock> take(const fs::path& state_dir, Mode mode);
  ResultsLock(ResultsLock&&) = default;
  ResultsLock& operator=(ResultsLock&&) = default;
  ~ResultsLock();

 private:
  explicit ResultsLock(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

struct Damage {
  tracking::KeptResult result;
  std::vector<std::string> files;  // "model.onnx: missing"
};
// Reads the files of every result; what is damaged is forgotten, so that its step runs again. on_result is
// told after each, with the bytes that were read.
Result<std::vector<Damage>> verify_results(tracking::Store& store, const Options& options,
                                           const std::function<void(uint64_t bytes)>& on_result);

// What stays. One of both at least.
struct Limits {
  std::optional<uint64_t> bytes;     // of all results together
  std::optional<int64_t> unused_ms;  // since it was last of use
};
struct Collected {
  std::vector<tracking::KeptResult> removed;  // or what would be
  uint64_t removed_bytes = 0, left_bytes = 0;
};
enum class DryRun { kNo, kYes };
// Removes results with their files, the one first that was of use longest ago; never what is needed. Files
// that are not in a folder of their own below the artifact root stay.
Result<Collected> collect_results(tracking::Store& store, const Options& options, const Limits& limits,
                                  DryRun dry_run);

}  // namespace tidemill::engine
