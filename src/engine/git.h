// What git knows of a folder.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"

namespace tidemill::engine {

// The work tree around the folder; nullopt when there is none. Reads files only.
std::optional<fs::path> git_root(const fs::path& folder);

struct GitState {
  std::string root, commit, remote;
};
// nullopt outside of a work tree and before the first commit. Reads git's files, and asks git itself only
// where those do not tell: starting it would take longer than starting a step.
std::optional<GitState> git_state(const fs::path& folder);

struct GitWork {
  std::string root, commit, branch, remote;
  std::vector<std::string> changed, untracked;  // paths below the root, at most 1 000 of each
  std::string diff;                             // from the commit to the work tree, as `git apply` takes it
  bool diff_is_whole = true;                    // false: it was larger than 4 MiB, or took too long
};
// kept_out: files that are in no diff.
std::optional<GitWork> git_work(const fs::path& folder, const std::vector<fs::path>& kept_out);

}  // namespace tidemill::engine
