#include "tracking/page_token.h"

#include <array>
#include <charconv>
#include <optional>

namespace tidemill::tracking {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBefore = "{\"offset\": ";
constexpr size_t kMaxToken = 100;

static std::string base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += i + j > bytes.size() ? '=' : kAlphabet[group >> (18 - 6 * j) & 63];
  }
  return out;
}

static std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  for (char c : text.substr(0, text.find('='))) {
    size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return out;
}

std::string make_page_token(int64_t offset) { return base64(fmt::format("{}{}}}", kBefore, offset)); }

Result<int64_t> parse_page_token(std::string_view token) {
  if (token.empty()) return 0;
  std::optional<std::string> text = token.size() <= kMaxToken ? from_base64(token) : std::nullopt;
  if (!text) return fail(Code::kInvalid, "Invalid page token, could not base64-decode");
  int64_t offset = 0;
  std::string_view rest = *text;
  if (rest.starts_with(kBefore) && rest.ends_with('}')) {
    const char* end = rest.data() + rest.size() - 1;
    auto [stop, error] = std::from_chars(rest.data() + kBefore.size(), end, offset);
    if (error == std::errc() && stop == end && offset >= 0) return offset;
  }
  return fail(Code::kInvalid, "Invalid page token, it was not made by this server");
}

}  // namespace tidemill::tracking
