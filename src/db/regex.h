// Regular expressions inside SQL, matched in time linear in the text (RE2), so that no search can hang a
// server.
#pragma once

#include <string_view>

#include "base/result.h"

namespace tidemill::db {

// In SQL: regex_matches(pattern, text), true when the pattern is found anywhere in the text. NULL for NULL.
inline constexpr std::string_view kRegexFunction = "regex_matches";

// kInvalid when it is no regular expression, or too large a one.
Result<> check_regex(std::string_view pattern);

}  // namespace tidemill::db
