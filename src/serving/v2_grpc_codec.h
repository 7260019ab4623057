// Open Inference Protocol's gRPC messages to tensors and back.
#pragma once

#include <span>

#include "base/result.h"
#include "proto/open_inference.pb.h"
#include "serving/session.h"
#include "serving/tensor.h"

namespace tidemill::serving {

// Views on the message where its layout allows that, else on copies in `memory`. kInvalid names the input.
Result<std::vector<TensorView>> tensors_of(const inference::ModelInferRequest& request, TensorMemory& memory);
// Each output once: those asked for, or all.
std::vector<std::string> requested_outputs(const inference::ModelInferRequest& request,
                                           std::span<const TensorInfo> all);
// Raw contents when the request's were, or when an output's type has no other form; typed contents otherwise.
void fill_response(std::span<const OutputTensor> outputs, std::span<const std::string> names,
                   const inference::ModelInferRequest& request, inference::ModelInferResponse& response);

}  // namespace tidemill::serving
