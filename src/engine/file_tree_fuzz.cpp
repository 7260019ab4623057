#include "engine/file_tree.h"
#include "engine/unchanged.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::engine;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::vector<KnownFile> files = decode_known(bytes);
  if (!files.empty() && decode_known(encode_known(files)).size() != files.size()) std::abort();
  if (auto footing = decode_footing(bytes); footing && !decode_footing(encode(*footing))) std::abort();
  return 0;
}
