// Files below a folder that somebody else wrote.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "exchange/source.h"

namespace tidemill::exchange {

// Names of the folders in a folder, by name; links to folders count. A folder that does not exist has none.
Result<std::vector<std::string>> subfolders(const fs::path& folder);

// A plain file of at most so many bytes; never waits, as for a pipe.
Result<std::string> read_plain_file(const fs::path& file, uint64_t max_bytes);

// The plain files below the folder, by path. Links are followed to files inside the folder only; what is left
// out is reported. A folder that does not exist has none.
Result<std::vector<ArtifactFile>> files_below(const fs::path& folder, Report& report);

}  // namespace tidemill::exchange
