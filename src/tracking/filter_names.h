// The names of the search language: what may be filtered and ordered by. Private to filter.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "tracking/filter.h"

namespace tidemill::tracking {

// A name taken apart: the entity, the key, and for attributes what is known of it.
struct Identifier {
  Entity entity = Entity::kAttribute;
  std::string key;  // attributes: without aliases
  bool numeric = false;
};

enum class NameUse { kFilter, kOrder };
Result<Identifier> parse_identifier(std::string_view text, Subject subject, NameUse use);

std::string_view singular(Entity entity);  // "metric"
// The registry says some things in other words.
bool in_registry(Subject subject);
std::string unquote(std::string_view text);
bool is_quoted(std::string_view text, char quote);

// {'a', 'b'}
template <class Range>
std::string python_set(const Range& names) {
  std::vector<std::string> quoted;
  for (std::string_view name : names) quoted.push_back(fmt::format("'{}'", name));
  return fmt::format("{{{}}}", join(quoted, ", "));
}

}  // namespace tidemill::tracking
