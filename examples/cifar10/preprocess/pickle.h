// The subset of Python's pickle format (protocols 0-2 as far as CIFAR's archives use them) read as plain
// data: nothing is ever imported or called. numpy arrays of uint8 become bytes with a shape.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::cifar10 {

struct PickledArray {
  std::vector<int64_t> shape;
  std::span<const uint8_t> bytes;  // row-major
};

// A batch file of the python archive, or its meta file. Everything points into the pickle's bytes.
struct PickledBatch {
  PickledArray data;
  std::vector<int64_t> labels;                // "labels" or "fine_labels"
  std::vector<std::string_view> label_names;  // "label_names" or "fine_label_names" (meta files)
};

// kInvalid with the byte offset for truncated or damaged input and for anything outside the subset, such as a
// reference to any class but numpy's array and dtype.
Result<PickledBatch> read_pickled_batch(std::span<const uint8_t> pickle);

}  // namespace tidemill::cifar10
