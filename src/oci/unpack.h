// Applies the tar of one layer to a folder.
#pragma once

#include <string_view>

#include "oci/archive.h"

namespace tidemill::oci {

// Adds to the counters; kInvalid when a limit is passed or a name leads out of root.
struct UnpackCounters {
  uint64_t bytes = 0;
  uint64_t entries = 0;
};
Result<> apply_layer(std::string_view tar, const fs::path& root, const UnpackLimits& limits,
                     UnpackCounters& counters);

}  // namespace tidemill::oci
