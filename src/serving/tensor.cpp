#include "serving/tensor.h"

namespace tidemill::serving {

namespace {
struct TypeRow {
  ElementType type;
  size_t size;
  std::string_view onnx, v2;
};
constexpr TypeRow kTypes[] = {
    {ElementType::kFloat, 4, "float", "FP32"},     {ElementType::kUint8, 1, "uint8", "UINT8"},
    {ElementType::kInt8, 1, "int8", "INT8"},       {ElementType::kUint16, 2, "uint16", "UINT16"},
    {ElementType::kInt16, 2, "int16", "INT16"},    {ElementType::kInt32, 4, "int32", "INT32"},
    {ElementType::kInt64, 8, "int64", "INT64"},    {ElementType::kString, 0, "string", "BYTES"},
    {ElementType::kBool, 1, "bool", "BOOL"},       {ElementType::kFloat16, 2, "float16", "FP16"},
    {ElementType::kDouble, 8, "double", "FP64"},   {ElementType::kUint32, 4, "uint32", "UINT32"},
    {ElementType::kUint64, 8, "uint64", "UINT64"}, {ElementType::kBfloat16, 2, "bfloat16", "BF16"},
};

const TypeRow* row_of(ElementType type) {
  for (const TypeRow& row : kTypes)
    if (row.type == type) return &row;
  return nullptr;
}
}  // namespace

size_t element_size(ElementType type) {
  const TypeRow* row = row_of(type);
  return row ? row->size : 0;
}

std::string_view onnx_name(ElementType type) {
  const TypeRow* row = row_of(type);
  return row ? row->onnx : "undefined";
}

std::string_view v2_name(ElementType type) {
  const TypeRow* row = row_of(type);
  return row ? row->v2 : "";
}

ElementType from_v2_name(std::string_view name) {
  for (const TypeRow& row : kTypes)
    if (row.v2 == name) return row.type;
  return ElementType::kUndefined;
}

Result<uint64_t> element_count(std::span<const int64_t> dims) {
  constexpr uint64_t kMost = uint64_t{1} << 40;  // times the largest element it still fits 64 bits
  constexpr size_t kMostDims = 64;
  if (dims.size() > kMostDims)
    return fail(Code::kInvalid, "a tensor of {} dimensions is not supported", dims.size());
  uint64_t count = 1;
  bool empty = false;
  for (int64_t dim : dims) {
    if (dim < 0) return fail(Code::kInvalid, "tensor has a negative dimension {}", dim);
    if (dim == 0) {
      empty = true;
      continue;
    }
    if (static_cast<uint64_t>(dim) > kMost / count)
      return fail(Code::kInvalid, "tensor dimensions are too large");
    count *= static_cast<uint64_t>(dim);
  }
  return empty ? 0 : count;
}

std::span<char> TensorMemory::allocate(size_t bytes) {
  const size_t blocks = bytes / sizeof(Block) + 1;
  blocks_.push_back(std::make_unique<Block[]>(blocks));
  return {blocks_.back()[0].bytes, bytes};
}

}  // namespace tidemill::serving
