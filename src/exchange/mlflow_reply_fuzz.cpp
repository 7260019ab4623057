// Whatever a server replies, reading it ends with an entity or an error.
#include "exchange/mlflow_json.h"

using namespace tidemill;
using namespace tidemill::exchange;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto json = parse_json({reinterpret_cast<const char*>(data), size});
  if (!json) return 0;
  (void)experiment_from(*json);
  (void)run_from(*json);
  (void)metric_from(*json);
  (void)logged_model_from(*json);
  (void)registered_model_from(*json);
  (void)model_version_from(*json);
  return 0;
}
