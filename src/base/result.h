// Errors as values. Every fallible function returns Result<T>; exceptions never cross a folder's border.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

namespace tidemill {

// What went wrong, as far as a caller can act on it. Mapped once each to HTTP (api, serving),
// gRPC (serving) and process exit codes (exit_code below).
enum class Code {
  kInvalid,      // the input is wrong; the same call will fail again
  kNotFound,     // the thing named does not exist
  kConflict,     // it exists already, or its state forbids this
  kDenied,       // no permission
  kUnavailable,  // try again later: disk full, busy port, server away
  kTimeout,
  kCancelled,  // interrupted by the user
  kInternal,   // a bug, or damage to our own data
};

std::string_view to_string(Code code);

struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string
      message;  // one sentence for a person, outermost context first; names the fix where there is one

  // Puts the place in front: Error{"no such key"}.in("pipeline.yaml:3:5") -> "pipeline.yaml:3:5: no such
  // key".
  Error in(std::string_view context) && {
    message = fmt::format("{}: {}", context, message);
    return std::move(*this);
  }
};

template <class T = void>
using Result = tl::expected<T, Error>;

// return fail(Code::kInvalid, "unknown step '{}'", name);
template <class... Args>
tl::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// The error of a failed system call, from errno: "open /x/y: No such file or directory".
// ENOENT -> kNotFound, EACCES/EPERM/EROFS -> kDenied, EEXIST -> kConflict, ENOSPC/EDQUOT/EADDRINUSE ->
// kUnavailable.
Error errno_error(std::string_view what, int error_number);

// 0 is success; 1 failed, 2 wrong usage or input, 130 interrupted.
int exit_code(Code code);

namespace detail {
template <class T>
T&& take(Result<T>& result) {
  return std::move(*result);
}
inline void take(Result<>&) {}
}  // namespace detail

}  // namespace tidemill

#define TIDEMILL_CONCAT_(a, b) a##b
#define TIDEMILL_CONCAT(a, b) TIDEMILL_CONCAT_(a, b)
#define TIDEMILL_TRY(result, on_error, ...)                                           \
  __extension__({                                                                     \
    auto result = (__VA_ARGS__);                                                      \
    if (!result) [[unlikely]]                                                         \
      return ::tl::unexpected<::tidemill::Error>(std::move(result).error() on_error); \
    ::tidemill::detail::take(result);                                                 \
  })

// The value of a Result, or return its error from the calling function.
#define TRY(...) TIDEMILL_TRY(TIDEMILL_CONCAT(try_result_, __COUNTER__), , __VA_ARGS__)
// As TRY, with a place put in front of the error's message.
#define TRY_IN(context, ...) \
  TIDEMILL_TRY(TIDEMILL_CONCAT(try_result_, __COUNTER__), .in(context), __VA_ARGS__)
