// Protobuf requests of both protocols, down to tensors. Touches every byte that a view claims.
#include <google/protobuf/stubs/logging.h>

#include "serving/predict_codec.h"
#include "serving/v2_grpc_codec.h"

namespace {
volatile unsigned sink;

void touch(const tidemill::Result<std::vector<tidemill::serving::TensorView>>& tensors) {
  if (!tensors) return;
  for (const auto& tensor : *tensors) {
    for (char byte : tensor.bytes) sink = sink + static_cast<unsigned char>(byte);
    for (std::string_view text : tensor.strings)
      for (char byte : text) sink = sink + static_cast<unsigned char>(byte);
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::serving;
  [[maybe_unused]] static const auto silenced = google::protobuf::SetLogHandler(nullptr);
  TensorMemory memory;
  ::onnxruntime::server::PredictRequest predict;
  if (predict.ParseFromArray(data, static_cast<int>(size))) touch(tensors_of(predict, memory));
  inference::ModelInferRequest infer;
  if (infer.ParseFromArray(data, static_cast<int>(size))) touch(tensors_of(infer, memory));
  return 0;
}
