#include "serving/status.h"

#include <charconv>

namespace tidemill::serving {

namespace {
constexpr std::string_view kPrefix = "ONNX Runtime Status Code: ";

Code code_of(OrtCode code) {
  switch (code) {
    case OrtCode::kFail:
    case OrtCode::kInvalidArgument:
    case OrtCode::kNoSuchFile:
    case OrtCode::kInvalidProtobuf:
    case OrtCode::kInvalidGraph:
      return Code::kInvalid;
    case OrtCode::kNoModel:
      return Code::kNotFound;
    default:
      return Code::kInternal;
  }
}
}  // namespace

Error ort_error(OrtCode code, std::string_view text) {
  return Error{code_of(code), fmt::format("{}{}. {}", kPrefix, static_cast<int>(code), text)};
}

OrtCode ort_code_of(const Error& error) {
  std::string_view text = error.message;
  if (!text.starts_with(kPrefix)) return OrtCode::kNone;
  int number = 0;
  std::from_chars(text.data() + kPrefix.size(), text.data() + text.size(), number);
  return static_cast<OrtCode>(number);
}

int predict_http_status(const Error& error) {
  switch (error.code) {
    case Code::kInvalid:
    case Code::kNotFound:
    case Code::kConflict:
      return 400;
    case Code::kDenied:
      return 403;
    case Code::kUnavailable:
      return 503;
    case Code::kTimeout:
      return 504;
    case Code::kCancelled:
    case Code::kInternal:
      return 500;
  }
  return 500;
}

int v2_http_status(const Error& error) {
  if (error.code == Code::kNotFound) return 404;
  return ort_code_of(error) == OrtCode::kNotImplemented ? 501 : predict_http_status(error);
}

int grpc_status(const Error& error) {
  constexpr int kCancelled = 1, kInvalidArgument = 3, kDeadlineExceeded = 4, kPermissionDenied = 7;
  constexpr int kResourceExhausted = 8, kUnimplemented = 12, kInternal = 13;
  if (ort_code_of(error) == OrtCode::kNotImplemented) return kUnimplemented;
  switch (error.code) {
    case Code::kInvalid:
    case Code::kNotFound:
    case Code::kConflict:
      return kInvalidArgument;
    case Code::kDenied:
      return kPermissionDenied;
    case Code::kUnavailable:
      return kResourceExhausted;
    case Code::kTimeout:
      return kDeadlineExceeded;
    case Code::kCancelled:
      return kCancelled;
    case Code::kInternal:
      return kInternal;
  }
  return kInternal;
}

}  // namespace tidemill::serving
