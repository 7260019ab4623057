// The checkpoints in one folder: step-<eight digits>.ckpt, the latest two are kept.
#pragma once

#include <optional>

#include "nn/checkpoint.h"

namespace tidemill::cifar10 {

using ResultSettings = std::map<std::string, std::string>;

class Checkpoints {
 public:
  Checkpoints(fs::path folder, ResultSettings settings)
      : folder_(std::move(folder)), settings_(std::move(settings)) {}

  // Writes atomically, then removes the older ones.
  Result<fs::path> save(nn::TrainerState state) const;
  std::optional<fs::path> latest() const;
  // kConflict names the first setting that differs from the ones it was written with.
  Result<nn::TrainerState> load(const fs::path& file) const;

 private:
  std::vector<fs::path> list() const;  // oldest first

  fs::path folder_;
  ResultSettings settings_;
};

}  // namespace tidemill::cifar10
