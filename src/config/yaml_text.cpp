#include "config/yaml_text.h"

#include <algorithm>
#include <iterator>

#include "base/result.h"

namespace tidemill::config {
namespace {

// The code point at the front of well-formed UTF-8, and its length.
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
};
CodePoint code_point(std::string_view text) {
  auto lead = static_cast<unsigned char>(text[0]);
  size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint32_t value = bytes == 1 ? lead : lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes && i < text.size(); ++i)
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  return {value, std::min(bytes, text.size())};
}

// YAML 1.1, section 5.1, without the line breaks among them.
bool is_printable(uint32_t c) {
  return (c >= 0x20 && c <= 0x7E) || (c >= 0xA0 && c <= 0xD7FF && c != 0x2028 && c != 0x2029) ||
         (c >= 0xE000 && c <= 0xFFFD && c != 0xFEFF) || (c >= 0x10000 && c <= 0x10FFFF);
}

}  // namespace

std::string yaml_quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    CodePoint c = code_point(text);
    if (c.value == '"' || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (is_printable(c.value)) {
      out += text.substr(0, c.bytes);
    } else if (c.value <= 0xFF) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", c.value);
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c.value);
    }
    text.remove_prefix(c.bytes);
  }
  return out + '"';
}

YamlMap& YamlMap::raw(std::string_view key, std::string_view yaml) {
  fmt::format_to(std::back_inserter(yaml_), "{}: {}\n", key, yaml);
  return *this;
}
YamlMap& YamlMap::text(std::string_view key, std::string_view value) { return raw(key, yaml_quoted(value)); }
YamlMap& YamlMap::number(std::string_view key, int64_t value) { return raw(key, std::to_string(value)); }
YamlMap& YamlMap::optional(std::string_view key, const std::optional<std::string>& value) {
  return value ? text(key, *value) : raw(key, "null");
}
YamlMap& YamlMap::optional(std::string_view key, const std::optional<int64_t>& value) {
  return value ? number(key, *value) : raw(key, "null");
}
YamlMap& YamlMap::text_or_null(std::string_view key, std::string_view value) {
  return value.empty() ? raw(key, "null") : text(key, value);
}

}  // namespace tidemill::config
