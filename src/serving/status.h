// Errors of the old server's contract: ONNX Runtime's codes in messages, and what they become in HTTP and
// gRPC.
#pragma once

#include <string_view>

#include "base/result.h"

namespace tidemill::serving {

// ONNX Runtime's error codes, as far as the contract names them.
enum class OrtCode : int {
  kNone = 0,
  kFail = 1,
  kInvalidArgument = 2,
  kNoSuchFile = 3,
  kNoModel = 4,
  kRuntimeException = 6,
  kInvalidProtobuf = 7,
  kNotImplemented = 9,
  kInvalidGraph = 10,
  kEpFail = 11,
};

// An error whose message begins "ONNX Runtime Status Code: <n>. ".
Error ort_error(OrtCode code, std::string_view text);
// The code in such a message; kNone when there is none.
OrtCode ort_code_of(const Error& error);

// The status of the old contract's HTTP routes: 400 for everything the client did wrong, a wrong model name
// included.
int predict_http_status(const Error& error);
// Open Inference Protocol: as above, but an unknown model is 404.
int v2_http_status(const Error& error);
// The number of a grpc::StatusCode.
int grpc_status(const Error& error);

}  // namespace tidemill::serving
