#include "config/reference.h"

#include <cctype>

#include "base/text.h"

namespace tidemill::config {

std::vector<Reference> Template::references() const {
  std::vector<Reference> found;
  for (const auto& part : parts)
    if (const auto* reference = std::get_if<Reference>(&part)) found.push_back(*reference);
  return found;
}

std::string to_string(const Reference& reference) { return "${" + join(reference, ".") + "}"; }

static Result<Reference> parse_reference(std::string_view name, const Place& place) {
  Reference reference = split(trim(name), '.');
  for (const auto& word : reference) {
    bool good = !word.empty();
    for (unsigned char c : word) good = good && (std::isalnum(c) || c == '_' || c == '-' || c == '/');
    if (!good) return fail_at(place, "'${{{}}}' is not a reference; write it as ${{params.name}}", name);
  }
  return reference;
}

Result<Template> parse_template(std::string_view text, const Place& place) {
  Template result{{}, place};
  std::string literal;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 3) == "$${") {
      literal += "${";
      i += 2;
    } else if (text.substr(i, 2) == "${") {
      size_t end = text.find('}', i);
      if (end == std::string_view::npos) return fail_at(place, "'${{' without '}}' in '{}'", text);
      if (!literal.empty()) result.parts.emplace_back(std::exchange(literal, {}));
      result.parts.emplace_back(TRY(parse_reference(text.substr(i + 2, end - i - 2), place)));
      i = end;
    } else {
      literal += text[i];
    }
  }
  if (!literal.empty()) result.parts.emplace_back(std::move(literal));
  return result;
}

}  // namespace tidemill::config
