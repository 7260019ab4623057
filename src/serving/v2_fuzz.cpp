// Open Inference Protocol bodies. The first byte chooses where the JSON ends: 255 for no header field at all.
#include "serving/v2_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::serving;
  if (size == 0) return 0;
  static const std::vector<TensorInfo> infos = {{"input", ElementType::kFloat, {-1, 4}}};
  std::optional<uint64_t> header_length;
  if (data[0] != 255) header_length = data[0];
  std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto request = parse_v2(body, header_length, infos, infos);
  if (!request) return 0;
  volatile unsigned sink = 0;
  for (const auto& tensor : (*request)->inputs)
    for (char byte : tensor.bytes) sink = sink + static_cast<unsigned char>(byte);
  return 0;
}
