// Results of our own as those that the public headers promise.
#pragma once

#include <type_traits>
#include <utility>

#include "base/result.h"
#include "tidemill/result.h"

namespace tidemill::sdk {

inline tl::unexpected<Error> to_public(tidemill::Error error) {
  auto code = [&] {
    switch (error.code) {
      case Code::kInvalid:
        return ErrorCode::kInvalid;
      case Code::kNotFound:
        return ErrorCode::kNotFound;
      case Code::kConflict:
        return ErrorCode::kConflict;
      case Code::kDenied:
        return ErrorCode::kDenied;
      case Code::kTimeout:
        return ErrorCode::kTimeout;
      case Code::kUnavailable:
      case Code::kCancelled:
        return ErrorCode::kUnavailable;
      case Code::kInternal:
        break;
    }
    return ErrorCode::kInternal;
  }();
  return tl::unexpected<Error>(Error{code, std::move(error.message)});
}

template <class T>
Result<T> to_public(tidemill::Result<T> result) {
  if (!result) return to_public(std::move(result).error());
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return std::move(*result);
  }
}

}  // namespace tidemill::sdk
