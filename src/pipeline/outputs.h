// From a reference to a declared output of a step to the path that it stands for. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "config/pipeline_file.h"

namespace tidemill::pipeline {

// The step with ${steps.NAME.outputs.OUTPUT} and ${self.outputs.OUTPUT} replaced by a path below
// ${steps.NAME.artifacts} and ${self.artifacts}; nullopt when it refers to none. The references must have
// been checked.
std::optional<config::Step> with_output_paths(
    const config::Step& step, const std::function<const config::Step&(const std::string& name)>& find);

}  // namespace tidemill::pipeline
