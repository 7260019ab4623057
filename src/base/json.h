// JSON values with the order of their keys kept, so that what we print is the same every time.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace tidemill {

using Json = nlohmann::ordered_json;

// Refuses trailing text, invalid UTF-8 and nesting deeper than 200 levels. kInvalid with the byte position.
Result<Json> parse_json(std::string_view text);

// Compact when indent < 0. Bytes that are not UTF-8 are replaced by U+FFFD; NaN and infinities print as null.
std::string dump_json(const Json& value, int indent = -1);

// The member as a string / integer, or the fallback when it is missing or of another type.
std::string json_string(const Json& object, std::string_view key, std::string_view fallback = "");
int64_t json_int(const Json& object, std::string_view key, int64_t fallback = 0);

}  // namespace tidemill
