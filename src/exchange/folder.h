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

struct FoundFile {
  std::string path;  // below the folder
  fs::path file;
};
// The plain files below the folder, by path. Links are followed to files inside the folder only; what is left
// out is reported. A folder that does not exist has none.
Result<std::vector<FoundFile>> files_below(const fs::path& folder, Report& report);

// The files behind an artifact URI, where it names a folder of this machine; `served` is the one that lies
// behind mlflow-artifacts:/. kNotFound otherwise. A folder that is not there is counted in the
// report.
Result<> local_files(const std::string& artifact_uri, const fs::path& served, const FileSink& sink,
                     Report& report);

}  // namespace tidemill::exchange
