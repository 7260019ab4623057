// The old ONNX Runtime Server's HTTP contract: POST /v1/models/{name}[/versions/{digits}]:predict, its
// synonyms, /score, protobuf and JSON bodies, request ids, error bodies.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/http_server.h"
#include "serving/model.h"

namespace tidemill::serving {

struct PredictRoute {
  std::string name, version;  // empty: whatever is served
  std::string action;         // "predict", "classify", "regress"; all do the same
};
// nullopt when the path is none of the contract's.
std::optional<PredictRoute> parse_predict_route(std::string_view path);

// Answers from any thread.
void handle_predict(Model& model, const PredictRoute& route, HttpRequest request, Respond respond);

// The contract's error body, with both id headers.
HttpResponse predict_error(int status, std::string_view message, const HttpRequest& request);

}  // namespace tidemill::serving
