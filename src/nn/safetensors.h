// safetensors: eight bytes of header length (little-endian), a JSON header, the values. f32 only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "nn/named_tensor.h"

namespace tidemill::nn {

std::string to_safetensors(std::span<const NamedTensor> tensors);
// kInvalid with the byte offset for anything damaged: overlapping or missing data, wrong sizes, unknown
// types.
Result<std::vector<NamedTensor>> parse_safetensors(std::string_view bytes);

Result<> write_safetensors(std::span<const NamedTensor> tensors, const fs::path& path);
Result<std::vector<NamedTensor>> read_safetensors(const fs::path& path);

}  // namespace tidemill::nn
