#include "tracking/page_token.h"

#include <charconv>
#include <optional>

#include "base/base64.h"

namespace tidemill::tracking {

constexpr std::string_view kBefore = "{\"offset\": ";
constexpr size_t kMaxToken = 100;

std::string make_page_token(int64_t offset) { return base64_encode(fmt::format("{}{}}}", kBefore, offset)); }

Result<int64_t> parse_page_token(std::string_view token) {
  if (token.empty()) return 0;
  std::optional<std::string> text = token.size() <= kMaxToken ? base64_decode(token) : std::nullopt;
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
