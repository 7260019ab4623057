// What is found where results are shared may be anything: whatever is taken stays inside its folder.
#include "engine/shared_cache.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string key(64, 'a');
  auto result = engine::parse_shared_result(bytes, key);
  if (!result) return 0;
  for (const auto& file : result->files)
    if (!artifacts::check_path(file.path) || file.path.empty()) std::abort();
  if (!engine::parse_shared_result(engine::to_json(*result), key)) std::abort();
  return 0;
}
