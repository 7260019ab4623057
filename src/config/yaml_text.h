// Writes YAML: texts that any reader reads back, and flat maps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidemill::config {

// In double quotes, with what YAML 1.1 does not print escaped: any reader gets the same text back.
std::string yaml_quoted(std::string_view text);

// "key: value" lines, in the order of the calls.
class YamlMap {
 public:
  YamlMap& text(std::string_view key, std::string_view value);
  YamlMap& number(std::string_view key, int64_t value);
  YamlMap& optional(std::string_view key,
                    const std::optional<std::string>& value);  // null when there is none
  YamlMap& optional(std::string_view key, const std::optional<int64_t>& value);
  YamlMap& text_or_null(std::string_view key, std::string_view value);  // null when it is empty
  // A value in YAML.
  YamlMap& raw(std::string_view key, std::string_view yaml);

  const std::string& yaml() const { return yaml_; }

 private:
  std::string yaml_;
};

}  // namespace tidemill::config
