// gzip in memory: the same bytes for the same input and level, and a bounded way back.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::oci {

// level 1 (fast) to 12 (small). The header has no name and no time.
Result<std::string> gzip(std::string_view bytes, int level);
// All members of a gzip file. kInvalid when damaged or larger than max_bytes when unpacked.
Result<std::string> gunzip(std::string_view bytes, uint64_t max_bytes);

}  // namespace tidemill::oci
