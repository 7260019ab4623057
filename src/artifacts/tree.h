// What lies at a place of a repository, be it one file or a folder with all that is below it.
#pragma once

#include <string>
#include <vector>

#include "artifacts/artifact_repository.h"

namespace tidemill::artifacts {

struct Tree {
  bool is_file = false;
  std::vector<FileInfo> files;        // names are paths below the place; of a file alone: ""
  std::vector<std::string> left_out;  // what is neither a file nor a folder

  // A text that changes when any of the files does; "" where the repository does not say.
  std::string version() const;
  uint64_t bytes() const;
};

// kNotFound when there is nothing; kInvalid for more than 1 000 000 files.
Result<Tree> tree_at(const ArtifactRepository& repository, const std::string& path);

// All of it to `target`, a file or a folder that is not there yet, with a warning for what is left out.
// after_each: after each file, with its size.
Result<> download(const ArtifactRepository& repository, const std::string& path, const Tree& tree,
                  const fs::path& target, const std::function<Result<>(uint64_t bytes)>& after_each);

}  // namespace tidemill::artifacts
