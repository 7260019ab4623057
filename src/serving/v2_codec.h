// Open Inference Protocol v2 over HTTP: JSON bodies, and Triton's binary tensors behind the JSON.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "serving/session.h"
#include "serving/tensor.h"

namespace tidemill::serving {

enum class V2Data { kJson, kBinary };

struct V2Output {
  std::string name;
  V2Data data = V2Data::kJson;
};

// A decoded request. The inputs' views point into the body and into this object, which is not to be moved.
struct V2Request {
  std::string id;
  std::vector<TensorView> inputs;
  std::vector<V2Output> outputs;      // all outputs of the model when the request named none
  std::optional<int64_t> timeout_us;  // Triton's parameter "timeout"

  nlohmann::json document;
  std::deque<std::string> names;
  TensorMemory memory;
};

// header_length: the field Inference-Header-Content-Length, the size of the JSON in front of binary data;
// without it the whole body is JSON, with 0 the body is the bytes of the model's only input. Errors say which
// input is wrong.
Result<std::unique_ptr<V2Request>> parse_v2(std::string_view body, std::optional<uint64_t> header_length,
                                            std::span<const TensorInfo> model_inputs,
                                            std::span<const TensorInfo> model_outputs);

struct V2Response {
  std::string body;
  std::optional<size_t> header_length;  // set when binary data follows the JSON
};
// Float NaN and infinities have no JSON form and are printed as null.
Result<V2Response> print_v2(std::string_view model, std::string_view version, const V2Request& request,
                            std::span<const OutputTensor> outputs);

// BYTES elements as raw data: a 4-byte little-endian length before each. For HTTP and gRPC.
Result<std::vector<std::string_view>> split_bytes_tensor(std::string_view raw, uint64_t count);
void append_bytes_tensor(std::span<const std::string> strings, std::string& out);

// A view of raw little-endian bytes of this type and shape; copies into `memory` where they lie misaligned.
Result<TensorView> raw_tensor(std::string_view name, ElementType type, std::vector<int64_t> dims,
                              std::string_view bytes, TensorMemory& memory);

Json v2_tensor_metadata(std::span<const TensorInfo> infos);

}  // namespace tidemill::serving
