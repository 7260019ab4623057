// Any bytes: the archive reader answers or refuses, and a layer never leaves its folder.
#include <cstdlib>

#include "oci/archive.h"
#include "oci/gzip.h"
#include "oci/unpack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)oci::read_archive_bytes(bytes);
  (void)oci::gunzip(bytes, 1 << 20);

  auto outer = TempDir::create();
  if (!outer || !make_dirs(outer->path() / "root")) return 0;
  oci::UnpackCounters counters;
  (void)oci::apply_layer(bytes, outer->path() / "root", {.max_bytes = 1 << 20, .max_entries = 1000},
                         counters);
  size_t beside = 0;
  for (auto it = fs::directory_iterator(outer->path()); it != fs::directory_iterator(); ++it) ++beside;
  if (beside != 1) std::abort();
  return 0;
}
