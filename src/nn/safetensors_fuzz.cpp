#include <cstdlib>

#include "nn/safetensors.h"

// What is accepted is written again and read back to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::nn;
  auto tensors = parse_safetensors({reinterpret_cast<const char*>(data), size});
  if (!tensors) return 0;
  auto again = parse_safetensors(to_safetensors(*tensors));
  if (!again || again->size() != tensors->size()) std::abort();
  return 0;
}
