// JSON bodies of the old server's contract.
#include "serving/predict_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::serving;
  ::onnxruntime::server::PredictRequest request;
  if (!parse_predict_json({reinterpret_cast<const char*>(data), size}, request)) return 0;
  TensorMemory memory;
  [[maybe_unused]] auto tensors = tensors_of(request, memory);
  return 0;
}
