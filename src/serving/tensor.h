// Tensors as the server handles them: views on a request's memory, whatever protocol it came by.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::serving {

// Numbers are those of ONNX's TensorProto.DataType.
enum class ElementType : int {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kBfloat16 = 16,
};

// Bytes of one element; 0 for strings and for types that the server does not take.
size_t element_size(ElementType type);
// "float", "int64": as ONNX writes them in tensor(float).
std::string_view onnx_name(ElementType type);
// Open Inference Protocol's names: "FP32", "BYTES", ...; "" for types it has no name for.
std::string_view v2_name(ElementType type);
// kUndefined when there is no such name.
ElementType from_v2_name(std::string_view name);

// Product of the dimensions. kInvalid for a negative one and when a tensor of that many elements could not
// exist.
Result<uint64_t> element_count(std::span<const int64_t> dims);

// A tensor that lies in somebody else's memory, row-major, little-endian.
struct TensorView {
  std::string_view name;
  ElementType type = ElementType::kUndefined;
  std::vector<int64_t> dims;
  std::string_view bytes;                 // all types but kString; aligned to the element's size
  std::vector<std::string_view> strings;  // kString only
};

// Memory for tensors that had to be converted or copied; views stay valid while the pool lives.
class TensorMemory {
 public:
  // Zeroed, aligned to 16 bytes.
  std::span<char> allocate(size_t bytes);

 private:
  struct Block {
    alignas(16) char bytes[16];
  };
  std::vector<std::unique_ptr<Block[]>> blocks_;
};

}  // namespace tidemill::serving
