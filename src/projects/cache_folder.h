// Where what can be made again is kept: $TIDEMILL_CACHE_DIR, else tidemill in the user's cache folder.
#pragma once

#include "base/files.h"

namespace tidemill::projects {

// kNotFound when neither that nor HOME is set.
Result<fs::path> cache_folder();

// Locks the file for this process alone, made when it is not there; waits, calling on_wait once, until it can
// or the user interrupts (kCancelled). The lock ends with the descriptor.
Result<Fd> lock_file(const fs::path& file, const std::function<void()>& on_wait);

}  // namespace tidemill::projects
