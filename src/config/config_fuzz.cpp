// YAML, parameters, MLproject and references from hostile text.
#include "config/condition.h"
#include "config/foreach.h"
#include "config/input.h"
#include "config/mlproject.h"
#include "config/reference.h"
#include "config/secret.h"
#include "config/step_settings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::config;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_template(text, {});
  (void)parse_condition(text, {});
  if (auto project = parse_project(text, "MLproject"))
    for (const auto& entry : project->entry_points)
      if (auto arguments = complete_arguments(entry, {})) (void)command_line(entry, *arguments);
  if (auto node = parse_yaml(text, "pipeline.yaml")) {
    Problems problems;
    if (const Node* params = node->find("params"))
      (void)read_parameters(*params, Extras::kPipeline, problems);
    (void)read_settings(*node, problems);
    if (const Node* foreach = node->find("foreach")) (void)read_foreach(*foreach);
    if (const Node* inputs = node->find("inputs")) (void)read_inputs(*inputs, problems);
    if (const Node* secrets = node->find("secrets")) (void)read_secrets(*secrets, problems);
    (void)problems.list();
  }
  return 0;
}
