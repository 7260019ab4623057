// The first byte chooses the parser: gzip, tar or pickle.
#include "preprocess/archive.h"
#include "preprocess/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::cifar10;
  if (size == 0) return 0;
  std::span<const uint8_t> rest(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      (void)gunzip(rest, 1 << 20);
      break;
    case 1:
      if (auto index = index_tar(rest))
        for (auto& [name, bytes] : *index)
          if (!bytes.empty() &&
              (bytes.data() < rest.data() || bytes.data() + bytes.size() > rest.data() + rest.size()))
            __builtin_trap();
      break;
    default:
      (void)read_pickled_batch(rest);
  }
  return 0;
}
