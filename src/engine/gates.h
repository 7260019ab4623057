// The gates of steps: their metrics against thresholds and against the registry's champion; what has passed
// is registered.
#pragma once

#include <functional>
#include <string>

#include "engine/step_cache.h"
#include "pipeline/gate.h"
#include "pipeline/plan.h"
#include "tracking/registry.h"

namespace tidemill::engine {

class Gates {
 public:
  using ValueOf = std::function<Result<std::string>(const config::Template&)>;

  explicit Gates(tracking::Store& store) : store_(store) {}

  // result: of the step, whose runs all have ended. When it passes, the model is registered and the alias
  // moved, once for each result however often this is called. kInvalid: the step has not logged the metric,
  // or a limit is not a number.
  Result<pipeline::GateVerdict> pass(const config::Gate& gate, const std::string& result_run,
                                     const ValueOf& value_of);

 private:
  Result<std::optional<tracking::ModelVersion>> champion(const std::string& model, const std::string& alias);
  Result<tracking::ModelVersion> registered(const std::string& name, const tracking::Run& run,
                                            const std::string& source, const std::string& text);

  tracking::Store& store_;
};

}  // namespace tidemill::engine
