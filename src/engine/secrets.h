// Reading secrets on the way to a step's process.
#pragma once

#include <string>
#include <vector>

#include "config/secret.h"

namespace tidemill::engine {

// kInvalid at its place when it is not there, or too short to be masked without damage. Relative files are
// below `folder`. The error never holds the value.
Result<std::string> read_secret(const config::Secret& secret, const fs::path& folder);

// What is to be masked of them, of those that can be read: the values, and the longer lines of values that
// have many.
std::vector<std::string> texts_to_mask(const std::vector<config::Secret>& secrets, const fs::path& folder);

}  // namespace tidemill::engine
