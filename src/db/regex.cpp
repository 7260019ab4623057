#include "db/regex.h"

#include <re2/re2.h>

#include "db/sqlite_regex.h"

namespace tidemill::db {
namespace {

constexpr size_t kMaxPatternBytes = 1000;
constexpr int64_t kMaxMemory = 1 << 20;

re2::RE2::Options options() {
  re2::RE2::Options chosen(re2::RE2::Quiet);
  chosen.set_max_mem(kMaxMemory);
  return chosen;
}

std::string_view text_of(sqlite3_value* value) {
  const void* bytes = sqlite3_value_blob(value);
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_value_bytes(value))};
}

// SQLite keeps what belongs to a constant argument, here the compiled pattern, while the statement runs.
const re2::RE2* pattern_of(sqlite3_context* context, sqlite3_value* value, std::unique_ptr<re2::RE2>& own) {
  if (void* kept = sqlite3_get_auxdata(context, 0)) return static_cast<const re2::RE2*>(kept);
  std::string_view text = text_of(value);
  own = std::make_unique<re2::RE2>(re2::StringPiece(text.data(), text.size()), options());
  return own.get();
}

void regex_matches(sqlite3_context* context, int, sqlite3_value** arguments) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL || sqlite3_value_type(arguments[1]) == SQLITE_NULL)
    return;
  std::unique_ptr<re2::RE2> own;
  const re2::RE2* pattern = pattern_of(context, arguments[0], own);
  if (!pattern->ok()) return sqlite3_result_error(context, pattern->error().c_str(), -1);
  std::string_view text = text_of(arguments[1]);
  sqlite3_result_int(context, re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *pattern));
  if (own)
    sqlite3_set_auxdata(context, 0, own.release(), [](void* kept) { delete static_cast<re2::RE2*>(kept); });
}

}  // namespace

Result<> check_regex(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes)
    return fail(Code::kInvalid, "The regular expression is longer than {} bytes", kMaxPatternBytes);
  re2::RE2 compiled(re2::StringPiece(pattern.data(), pattern.size()), options());
  if (compiled.ok()) return {};
  return fail(Code::kInvalid, "Invalid regular expression '{}': {}", pattern, compiled.error());
}

int add_regex_function(sqlite3* handle) {
  return sqlite3_create_function_v2(handle, std::string(kRegexFunction).c_str(), 2,
                                    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, nullptr,
                                    regex_matches, nullptr, nullptr, nullptr);
}

}  // namespace tidemill::db
