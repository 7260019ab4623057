// PyTorch's .pth: a zip of stored entries, data.pkl (a pickled state_dict, protocol 2) and one raw storage a
// tensor. torch.load(path, weights_only=True) gives the state_dict.
#pragma once

#include <span>
#include <string>

#include "base/files.h"
#include "nn/named_tensor.h"

namespace tidemill::nn {

// archive_name: the folder inside the zip; torch takes the file's stem. kInvalid at 4 GB and more.
Result<std::string> to_pth(std::span<const NamedTensor> tensors, std::string_view archive_name);
Result<> write_pth(std::span<const NamedTensor> tensors, const fs::path& path);

}  // namespace tidemill::nn
