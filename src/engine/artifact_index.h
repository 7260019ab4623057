// What a step has written: every regular file below a folder with its size and content hash.
#pragma once

#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "tracking/entities.h"

namespace tidemill::engine {

// Sorted by path. Symbolic links are left out. Hashes on all cores.
Result<std::vector<tracking::ArtifactEntry>> index_artifacts(const fs::path& folder);

}  // namespace tidemill::engine
