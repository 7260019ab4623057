#include "common/png.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static tidemill::cifar10::PngDecoder decoder(1 << 16);
  auto view = decoder.decode({data, size});
  if (view && view->rgb.size() != size_t{view->width} * view->height * 3) std::abort();
  return 0;
}
