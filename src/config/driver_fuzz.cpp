// Drivers in Python from hostile text: what can be read of them is a file that YAML takes.
#include <cstdlib>

#include "base/text.h"
#include "config/driver.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::config;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (size > 1 << 16) return 0;
  auto driver = read_driver(text, "main.py", {});
  if (driver && tidemill::is_utf8(text) && text.find('\0') == std::string_view::npos &&
      !parse_yaml(pipeline_text(*driver, "main.py"), "pipeline.yaml"))
    std::abort();
  return 0;
}
