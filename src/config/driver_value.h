// What is known of a value in a driver without running it.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tidemill::config {

struct DriverValue {
  enum class Kind { kUnknown, kText, kRun, kParent, kArguments, kDict };
  Kind kind = Kind::kUnknown;
  std::string text;  // a template of a pipeline.yaml; of a run: the part of it, "info" or "data.metrics"
  size_t step = 0;   // of a run
  std::vector<std::pair<std::string, DriverValue>> entries = {};

  // As a part of a text: what cannot be read is a hole in it.
  std::string shown() const { return kind == Kind::kText ? text : std::string(1, kHole); }
  bool is_known_text() const { return kind == Kind::kText && !has_hole(text); }

  static constexpr char kHole = '\x01';
  static bool has_hole(const std::string& text) { return text.find(kHole) != std::string::npos; }
};

// Unknown when it is too long.
DriverValue text_value(std::string text);
// A text that holds no references.
DriverValue literal(const std::string& text);
// As os.path.join does it.
std::string join_paths(const std::string& left, const std::string& right);

}  // namespace tidemill::config
