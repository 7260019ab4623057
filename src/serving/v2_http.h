// Open Inference Protocol v2 over HTTP: everything below /v2.
#pragma once

#include "net/http_server.h"
#include "serving/model.h"

namespace tidemill::serving {

// ready: whether the server takes requests. Answers from any thread; unknown paths are 404.
void handle_v2(Model& model, bool ready, HttpRequest request, Respond respond);

constexpr std::string_view kV2ServerName = "tidemill";
constexpr std::string_view kV2Platform = "onnx_onnxv1";
constexpr std::string_view kV2Extension = "binary_tensor_data";

}  // namespace tidemill::serving
