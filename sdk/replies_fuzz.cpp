// What a server answers, true or not, as the SDK's client reads it.
#include <cstdint>

#include "replies.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto json = tidemill::parse_json({reinterpret_cast<const char*>(data), size});
  if (!json) return 0;
  using namespace tidemill::sdk;
  (void)experiment_from(*json);
  (void)run_from(*json);
  (void)metric_from(*json);
  (void)artifact_from(*json);
  (void)registered_model_from(*json);
  (void)model_version_from(*json);
  return 0;
}
