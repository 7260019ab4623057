// Reading secrets on the way to a step's process.
#pragma once

#include <string>

#include "config/secret.h"

namespace tidemill::engine {

// kInvalid at its place when it is not there, or too short to be masked without damage. Relative files are
// below `folder`. The error never holds the value.
Result<std::string> read_secret(const config::Secret& secret, const fs::path& folder);

}  // namespace tidemill::engine
