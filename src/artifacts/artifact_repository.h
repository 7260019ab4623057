// The files of runs: a folder, addressed by relative paths with forward slashes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::artifacts {

struct FileInfo {
  std::string name;  // within the listed folder
  bool is_folder = false;
  uint64_t size = 0;  // of a file
};

// Every path given is checked: kInvalid "Invalid path" for anything that does not stay inside the folder:
// "..", also percent-encoded once or more, absolute paths, NUL, backslashes, symbolic links that lead out.
class ArtifactRepository {
 public:
  explicit ArtifactRepository(fs::path root) : root_(std::move(root)) {}

  const fs::path& root() const { return root_; }
  // By name. A folder that does not exist has no entries.
  Result<std::vector<FileInfo>> list(std::string_view folder) const;
  // Where the file lies. kNotFound.
  Result<fs::path> find(std::string_view path) const;
  // Replaces the file in one step; folders are made as needed. kConflict when the path is a folder, or leads
  // through a file.
  Result<> put(std::string_view path, std::string_view bytes) const;
  enum class Source { kKeep, kMove };  // after a failure the source is where it was
  Result<> put_file(std::string_view path, const fs::path& source, Source source_afterwards) const;
  // A file or a folder with all that is in it. kNotFound.
  Result<> remove(std::string_view path) const;

  // A folder on the same file system for files on their way in; made if need be. Not listed.
  Result<fs::path> incoming() const;

 private:
  Result<fs::path> resolve(std::string_view path) const;
  Result<fs::path> make_place(std::string_view path) const;

  fs::path root_;
};

// Whether path is root or below it, with symbolic links resolved for the parts that exist.
bool lies_in(const fs::path& path, const fs::path& root);

// The local folder that an artifact URI names: a path or file:///path; nullopt for every other scheme.
std::optional<fs::path> local_folder(std::string_view artifact_uri);
// The same, and for mlflow-artifacts:/ URIs the place in the folder that lies behind them ("": there is
// none).
std::optional<fs::path> local_folder(std::string_view artifact_uri, const fs::path& destination);
// "7/ab/artifacts" of mlflow-artifacts:/7/ab/artifacts or mlflow-artifacts://host/7/ab/artifacts.
std::optional<std::string> proxied_path(std::string_view artifact_uri);

}  // namespace tidemill::artifacts
