#include "base/json.h"

namespace tidemill {

Result<Json> parse_json(std::string_view text) {
  constexpr int kMaxDepth = 200;
  bool too_deep = false;
  auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) too_deep = true;
    return !too_deep;
  };
  try {
    Json value = Json::parse(text.begin(), text.end(), limit_depth);
    if (too_deep) return fail(Code::kInvalid, "JSON is nested deeper than {} levels", kMaxDepth);
    return value;
  } catch (const Json::parse_error& e) {
    return fail(Code::kInvalid, "not valid JSON at byte {}", e.byte);
  } catch (const Json::exception& e) {
    return fail(Code::kInvalid, "not valid JSON: {}", e.what());
  }
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string json_string(const Json& object, std::string_view key, std::string_view fallback) {
  if (object.is_object())
    if (auto it = object.find(std::string(key)); it != object.end() && it->is_string())
      return it->get<std::string>();
  return std::string(fallback);
}

int64_t json_int(const Json& object, std::string_view key, int64_t fallback) {
  if (object.is_object())
    if (auto it = object.find(std::string(key)); it != object.end() && it->is_number_integer())
      return it->get<int64_t>();
  return fallback;
}

}  // namespace tidemill
