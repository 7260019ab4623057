#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace tidemill {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kInvalid:
      return "invalid";
    case Code::kNotFound:
      return "not found";
    case Code::kConflict:
      return "conflict";
    case Code::kDenied:
      return "denied";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kTimeout:
      return "timeout";
    case Code::kCancelled:
      return "cancelled";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

Error errno_error(std::string_view what, int error_number) {
  Code code = Code::kInternal;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      code = Code::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = Code::kDenied;
      break;
    case EEXIST:
    case ENOTEMPTY:
      code = Code::kConflict;
      break;
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      code = Code::kInvalid;
      break;
    case ENOSPC:
    case EDQUOT:
    case EADDRINUSE:
    case ECONNREFUSED:
    case ECONNRESET:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
      code = Code::kUnavailable;
      break;
    case ETIMEDOUT:
      code = Code::kTimeout;
      break;
    default:
      break;
  }
  return Error{code, fmt::format("{}: {}", what, std::generic_category().message(error_number))};
}

int exit_code(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 2;
    case Code::kCancelled:
      return 130;
    default:
      return 1;
  }
}

}  // namespace tidemill
