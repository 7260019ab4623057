// What a step is given of others: to be read, not to be changed.
#pragma once

#include <string>
#include <vector>

#include "engine/step_cache.h"

namespace tidemill::engine {

struct GivenFiles {
  std::vector<std::string> changed;  // "data.csv of step prepare: changed or damaged", and what is missing
  std::vector<std::string> added;    // "plot.png of step train"
};

// What has become of the files that the step refers to as other steps' artifacts, since their steps ended.
// May be called beside the loop while the step is not settled.
Result<GivenFiles> look_at_given(const pipeline::Plan& plan, size_t step, const StepCache& cache,
                                 tracking::Store& store, const FileHashes& hashes);

}  // namespace tidemill::engine
