#include "api/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/json_numbers.h"
#include "base/text.h"

namespace tidemill::api {

void JsonWriter::separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}

JsonWriter& JsonWriter::open(char c) {
  separate();
  out_ += c;
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char c) {
  out_ += c;
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  quote(name);
  out_ += ':';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  // Without an early end, so that the compiler takes many characters at a time.
  unsigned special = 0;
  for (unsigned char c : value) special |= (c < 0x20) | (c > 0x7E) | (c == '"') | (c == '\\');
  if (special)
    out_ += dump_json(Json(value));
  else
    quote(value);
  return *this;
}

void JsonWriter::quote(std::string_view plain) {
  std::array<char, 128> buffer;
  if (plain.size() + 2 > buffer.size()) {
    out_.append("\"").append(plain).append("\"");
    return;
  }
  // One append instead of three: replies hold ten thousands of short texts.
  buffer[0] = '"';
  std::copy(plain.begin(), plain.end(), &buffer[1]);
  buffer[plain.size() + 1] = '"';
  out_.append(buffer.data(), plain.size() + 2);
}

JsonWriter& JsonWriter::integer(int64_t value) {
  separate();
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
  out_.append(digits.begin(), end);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::null() {
  separate();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) return text(word_of_real(value));
  separate();
  std::array<char, 64> digits;
  char* end = fmt::format_to(digits.data(), "{}", value);
  std::string_view text(digits.data(), static_cast<size_t>(end - digits.data()));
  bool looks_whole = text.find_first_of(".e") == std::string_view::npos;
  out_.append(text);
  if (looks_whole) out_ += ".0";
  return *this;
}

}  // namespace tidemill::api
