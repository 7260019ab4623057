// A first look at a model file, so that a wrong or cut one is not packed into an image.
#pragma once

#include "base/files.h"
#include "base/result.h"

namespace tidemill::oci {

// Walks the top-level fields of the ModelProto (onnx.proto; protobuf wire format) without reading the
// weights: each must end inside the file, the last one at its end, and there must be a graph. kInvalid with
// the byte otherwise.
Result<> check_onnx_file(const fs::path& file);

}  // namespace tidemill::oci
