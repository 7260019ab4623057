#include "base/json_numbers.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace tidemill {

std::optional<int64_t> json_integer(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
  }
  if (!value.is_number_float()) return std::nullopt;
  double number = value.get<double>();
  bool fits = std::floor(number) == number && std::abs(number) < 9.2e18;
  return fits ? std::optional(static_cast<int64_t>(number)) : std::nullopt;
}

std::optional<double> json_real(const Json& value) {
  if (value.is_number()) return value.get<double>();
  return value.is_string() ? real_of_word(value.get_ref<const std::string&>()) : std::nullopt;
}

Json json_of_real(double value) {
  std::string_view word = word_of_real(value);
  return word.empty() ? Json(value) : Json(word);
}

std::string_view word_of_real(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return "";
}

std::optional<double> real_of_word(std::string_view word) {
  if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (word == "Infinity") return std::numeric_limits<double>::infinity();
  if (word == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

}  // namespace tidemill
