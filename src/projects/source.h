// Where a project comes from: a folder, a zip archive, or a git repository (mlflow.org/docs, "MLflow
// Projects").
#pragma once

#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::projects {

struct Source {
  fs::path folder;     // on this machine
  std::string uri;     // as given, with "#subdir"; "" for a folder that is used in place
  std::string commit;  // of git; else ""
  std::string branch;  // the version, when it is the name of one
  Fd in_use;           // while it is open, nobody else cleans the checkout
};

// uri: a path; file://PATH; a .zip file, or its http(s) URL; anything that git clones. "#subdir" chooses a
// folder within. version: a commit, branch or tag; only for git, which a local repository is as well. Fetched
// commits and unpacked archives are kept in the cache folder by their content, and serve when the network is
// away. kInvalid: version without git, a bad subdir, no such path. kNotFound: no such subdir. kUnavailable:
// it cannot be fetched.
Result<Source> fetch(std::string_view uri, const std::string& version);

// A new work tree of a local repository at a commit, with a patch (as `git diff --binary` makes it; "" for
// none) applied, in the cache folder. It is the caller's, who removes it. kNotFound when the repository has
// no such commit.
Result<fs::path> check_out_anew(const fs::path& repository, const std::string& commit, const fs::path& patch);

}  // namespace tidemill::projects
