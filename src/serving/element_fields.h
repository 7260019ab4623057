// Elements of tensors in the repeated fields of protobuf messages, which know no type of less than 32 bits.
#pragma once

#include <string_view>
#include <utility>

#include "base/result.h"
#include "serving/tensor.h"

namespace tidemill::serving {

// The field's own memory.
template <class Field>
std::string_view same_width(const Field& field) {
  return {reinterpret_cast<const char*>(field.data()),
          static_cast<size_t>(field.size()) * sizeof(*field.data())};
}

// A copy in `memory`. kInvalid names the element that does not fit To.
template <class To, class Field>
Result<std::string_view> narrowed(const Field& field, TensorMemory& memory) {
  const int count = field.size();
  auto bytes = memory.allocate(static_cast<size_t>(count) * sizeof(To));
  To* out = reinterpret_cast<To*>(bytes.data());
  for (int i = 0; i < count; ++i) {
    const auto value = field[i];
    if (!std::in_range<To>(value))
      return fail(Code::kInvalid, "element {} is {}, which does not fit its type", i, value);
    out[i] = static_cast<To>(value);
  }
  return std::string_view(bytes.data(), bytes.size());
}

// Appends the elements, each From, to a field that may be wider.
template <class From, class Field>
void widen(std::string_view bytes, Field* field) {
  const From* from = reinterpret_cast<const From*>(bytes.data());
  const size_t count = bytes.size() / sizeof(From);
  field->Reserve(static_cast<int>(count));
  for (size_t i = 0; i < count; ++i) field->AddAlreadyReserved(from[i]);
}

}  // namespace tidemill::serving
