// Passwords and tokens as people give them: never on the command line, which everybody on the machine can
// read.
#pragma once

#include <string>

#include "base/result.h"

namespace tidemill::cli {

// From the environment variable if it is set; else the first line of stdin; on a terminal asked for twice,
// unseen. kInvalid when nothing comes.
Result<std::string> read_new_secret(const char* variable, const std::string& prompt);

}  // namespace tidemill::cli
