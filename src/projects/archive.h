// Zip archives with a project in them.
#pragma once

#include <string>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::projects {

// The folder with the archive's files, below root, named by its content: unpacked once. place: a path, or an
// http(s) URL, which is fetched each time; when that fails, what it gave last serves. Refused (kInvalid):
// what is no archive, paths that lead out of the folder, links, more than 100 000 files or 8 GiB.
Result<fs::path> unpacked(const std::string& place, const fs::path& root);

}  // namespace tidemill::projects
