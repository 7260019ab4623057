// The prepared data set (what cifar10-preprocess writes) in memory.
//
//   DIR/classes.json                ["airplane", ...]: the order of the labels
//   DIR/meta_train.json, meta_test.json     {class: [file names]}
//   DIR/train/<class>/<name>.png, DIR/test/<class>/<name>.png     8-bit RGB, all of one size
//   DIR/data_location.json          instead of all these: {"path": absolute path of the folder that holds
//   them}
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"

namespace tidemill::cifar10 {

inline constexpr std::string_view kClassesFile = "classes.json";
inline constexpr std::string_view kPointerFile = "data_location.json";

// Images in the order of their names (then of their class), which is the official order of CIFAR.
struct DataSplit {
  size_t channels = 3, height = 0, width = 0;
  std::vector<uint8_t> pixels;     // [count][channels][height][width]
  std::vector<uint8_t> labels;     // index into classes
  std::vector<std::string> names;  // "<class>/<name>.png"

  size_t count() const { return labels.size(); }
  size_t image_bytes() const { return channels * height * width; }
};

// The folder that holds the data: folder itself, or where its data_location.json points. kNotFound says what
// is missing and how to make it.
Result<fs::path> resolve_data_folder(const fs::path& folder);
// At most 256 class names, each fit to be a folder's name.
Result<std::vector<std::string>> read_classes(const fs::path& folder);
// part: "train" or "test". limit: only the first images in the order above (0: all). kInvalid names the
// damaged file. Reads with threads threads (0: one a core).
Result<DataSplit> read_split(const fs::path& folder, std::string_view part, size_t limit = 0,
                             int threads = 0);

}  // namespace tidemill::cifar10
