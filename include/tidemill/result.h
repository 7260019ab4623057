// What the calls of the SDK return: a value, or an error that a program can act on and a person can read.
#pragma once

#include <ostream>
#include <string>

#include <tl/expected.hpp>

namespace tidemill::sdk {

enum class ErrorCode {
  kInvalid,      // the server refuses what is in the call; it will do so again
  kNotFound,     // the run, model or file that the call names is not there
  kConflict,     // it exists already, or its state forbids this
  kDenied,       // no permission, or not logged in
  kUnavailable,  // the server is away or busy, the disk is full: try again later
  kTimeout,
  kInternal,  // a bug
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one sentence for a person, the server's own where it gave one
};
inline std::ostream& operator<<(std::ostream& out, const Error& error) { return out << error.message; }

template <class T = void>
using Result = tl::expected<T, Error>;

}  // namespace tidemill::sdk
