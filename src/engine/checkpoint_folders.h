// What the steps of a run keep from one attempt to the next: a folder for each.
#pragma once

#include <string>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::engine {

// The folder of the steps' folders, below the engine's (Options::state_dir).
fs::path checkpoints_folder(const fs::path& state_dir, const std::string& run_id);

class CheckpointFolders {
 public:
  // folder: checkpoints_folder(); made if need be.
  static Result<CheckpointFolders> open(fs::path folder);

  fs::path of(const std::string& step) const { return folder_ / step; }
  // As an earlier attempt has left it, or empty.
  Result<fs::path> make(const std::string& step);
  // The step is done.
  Result<> drop(const std::string& step);

 private:
  explicit CheckpointFolders(fs::path folder) : folder_(std::move(folder)) {}
  fs::path folder_;
  // An empty one of a step that is done. To rename a folder costs a tenth of making one and removing another,
  // and most steps keep nothing.
  fs::path spare_;
};

}  // namespace tidemill::engine
