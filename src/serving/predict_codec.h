// onnxruntime.server's messages to tensors and back, for HTTP and gRPC alike.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "proto/onnxruntime_server.pb.h"
#include "serving/session.h"
#include "serving/tensor.h"

namespace tidemill::serving {

// Whether the elements of a response go into raw_data or into the field of their type.
enum class Elements { kRaw, kTyped };

// A view on the message's own memory where its layout allows that, else on a copy in `memory`.
// Errors are the contract's: external data, complex types, sizes that do not fit the dimensions.
Result<TensorView> tensor_of(std::string_view name, const onnx::TensorProto& proto, TensorMemory& memory);
// All inputs of a request.
Result<std::vector<TensorView>> tensors_of(const ::onnxruntime::server::PredictRequest& request,
                                           TensorMemory& memory);
// kRaw when every input came so.
Elements response_elements(const ::onnxruntime::server::PredictRequest& request);

// The outputs that the request wants, each once: its filter, or all that the model has.
std::vector<std::string> requested_outputs(const ::onnxruntime::server::PredictRequest& request,
                                           std::span<const TensorInfo> all);

// names: the requested outputs in the order of `outputs`.
void fill_response(std::span<const OutputTensor> outputs, std::span<const std::string> names,
                   Elements elements, ::onnxruntime::server::PredictResponse& response);

// proto3 JSON as the old server read and wrote it. kInvalid with the parser's message.
Result<> parse_predict_json(std::string_view text, ::onnxruntime::server::PredictRequest& request);
Result<std::string> print_predict_json(const ::onnxruntime::server::PredictResponse& response);

}  // namespace tidemill::serving
