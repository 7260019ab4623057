#include "engine/checkpoint_folders.h"

namespace tidemill::engine {

fs::path checkpoints_folder(const fs::path& state_dir, const std::string& run_id) {
  return state_dir / "checkpoints" / run_id;
}

Result<CheckpointFolders> CheckpointFolders::open(fs::path folder) {
  TRY(make_dirs(folder));
  return CheckpointFolders(std::move(folder));
}

Result<fs::path> CheckpointFolders::make(const std::string& step) {
  fs::path wanted = of(step);
  std::error_code ignored;
  if (!spare_.empty() && !fs::exists(wanted, ignored)) {
    fs::rename(std::exchange(spare_, {}), wanted, ignored);
    if (!ignored) return wanted;
  }
  TRY(make_dirs(wanted));
  return wanted;
}

Result<> CheckpointFolders::drop(const std::string& step) {
  std::error_code ignored;
  if (!spare_.empty() || !fs::is_empty(of(step), ignored) || ignored) return tidemill::remove_all(of(step));
  spare_ = of(step);
  return {};
}

}  // namespace tidemill::engine
