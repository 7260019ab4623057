#include "train/checkpoints.h"

#include <algorithm>

namespace tidemill::cifar10 {
namespace {

constexpr size_t kKept = 2;

}  // namespace

std::vector<fs::path> Checkpoints::list() const {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored))
    if (entry.path().extension() == ".ckpt") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

Result<fs::path> Checkpoints::save(nn::TrainerState state) const {
  TRY(make_dirs(folder_));
  const fs::path file = folder_ / fmt::format("step-{:08}.ckpt", state.step);
  TRY(nn::write_checkpoint({std::move(state), settings_}, file));
  const std::vector<fs::path> files = list();
  for (size_t i = 0; i + kKept < files.size(); ++i) TRY(tidemill::remove_all(files[i]));
  return file;
}

std::optional<fs::path> Checkpoints::latest() const {
  const std::vector<fs::path> files = list();
  return files.empty() ? std::nullopt : std::optional(files.back());
}

Result<nn::TrainerState> Checkpoints::load(const fs::path& file) const {
  nn::Checkpoint checkpoint = TRY(nn::read_checkpoint(file));
  for (const auto& [name, value] : settings_) {
    auto found = checkpoint.settings.find(name);
    const std::string before = found == checkpoint.settings.end() ? "not set" : found->second;
    if (before != value)
      return fail(Code::kConflict,
                  "{}: it was written with {} {}, this training has {}; give the same settings to go on",
                  file.string(), name, before, value);
  }
  return std::move(checkpoint.state);
}

}  // namespace tidemill::cifar10
