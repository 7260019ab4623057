// Whatever a folder of MLflow's file store holds, its parsers end with an entity or an error; and what is
// written as YAML is read back as it was.
#include <cstdlib>

#include "base/text.h"
#include "config/yaml_text.h"
#include "exchange/mlruns_format.h"

using namespace tidemill;
using namespace tidemill::exchange;

static void round_trip(std::string_view text) {
  if (!is_utf8(text) || text.find('\0') != std::string_view::npos) return;
  config::YamlMap map;
  map.text("experiment_id", "1").text("name", "n").text("artifact_location", text);
  auto back = parse_experiment(map.yaml(), "fuzz");
  if (map.yaml().size() <= (1 << 20) && (!back || back->artifact_location != text)) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_experiment(text, "fuzz");
  (void)parse_run(text, "fuzz");
  (void)parse_dataset(text, "fuzz");
  (void)parse_input(text, "fuzz");
  (void)parse_output(text, "fuzz");
  (void)parse_logged_model(text, "fuzz");
  (void)parse_registered_model(text, "fuzz");
  (void)parse_version(text, "fuzz");
  for (const std::string& line : split(text, '\n')) {
    (void)parse_metric_line(line, MetricOwner::kRun);
    (void)parse_metric_line(line, MetricOwner::kLoggedModel);
  }
  round_trip(text);
  return 0;
}
