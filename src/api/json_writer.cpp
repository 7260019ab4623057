#include "api/json_writer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/json_numbers.h"
#include "base/text.h"

namespace tidemill::api {

char* JsonWriter::room(size_t most) {
  if (out_.size() - size_ < most + 1) out_.resize(std::max(2 * out_.size(), size_ + most + 1));
  char* at = out_.data() + size_;
  if (comma_) *at++ = ',';
  comma_ = true;
  return at;
}

char* JsonWriter::put(char* at, std::string_view bytes) {
  std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

JsonWriter& JsonWriter::open(char c) {
  char* at = room(1);
  *at++ = c;
  ended(at);
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char c) {
  comma_ = false;
  char* at = room(1);
  *at++ = c;
  ended(at);
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  char* at = room(name.size() + 3);
  *at++ = '"';
  at = put(at, name);
  ended(put(at, "\":"));
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  // Without an early end, so that the compiler takes many characters at a time.
  unsigned special = 0;
  for (unsigned char c : value) special |= (c < 0x20) | (c > 0x7E) | (c == '"') | (c == '\\');
  if (special) return word(dump_json(Json(value)));
  char* at = room(value.size() + 2);
  *at++ = '"';
  at = put(at, value);
  *at++ = '"';
  ended(at);
  return *this;
}

JsonWriter& JsonWriter::word(std::string_view json) {
  ended(put(room(json.size()), json));
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t value) {
  constexpr size_t kMostDigits = 24;
  char* at = room(kMostDigits);
  ended(std::to_chars(at, at + kMostDigits, value).ptr);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) { return word(value ? "true" : "false"); }

JsonWriter& JsonWriter::null() { return word("null"); }

JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) return text(word_of_real(value));
  constexpr size_t kMostDigits = 64;
  char* begin = room(kMostDigits);
  char* end = fmt::format_to(begin, "{}", value);
  bool looks_whole = std::find_if(begin, end, [](char c) { return c == '.' || c == 'e'; }) == end;
  ended(looks_whole ? put(end, ".0") : end);
  return *this;
}

}  // namespace tidemill::api
