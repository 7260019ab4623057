#include "config/driver_value.h"

namespace tidemill::config {

static constexpr size_t kMaxText = 4'000;

DriverValue text_value(std::string text) {
  if (text.size() > kMaxText) return {};
  return {.kind = DriverValue::Kind::kText, .text = std::move(text)};
}
DriverValue literal(const std::string& text) {
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') escaped += '$';
    if (text[i] != DriverValue::kHole) escaped += text[i];
  }
  return text_value(std::move(escaped));
}

std::string join_paths(const std::string& left, const std::string& right) {
  if (left.empty() || right.starts_with('/')) return right;
  return left + (left.ends_with('/') ? "" : "/") + right;
}

}  // namespace tidemill::config
