// What lies below a folder, by content: every regular file with its size and hash, and one digest of all.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "tracking/entities.h"

namespace tidemill::engine {

struct FileTree {
  std::vector<tracking::ArtifactEntry> files;  // by path
  std::string digest;                          // of paths, executable bits and contents; never of times

  uint64_t bytes() const;
  // Of the file or folder at this place in the tree; nullopt when there is none. "" is all of it.
  std::optional<std::string> digest_of(std::string_view path) const;
};

struct Difference {
  enum class What { kMissing, kAdded, kChanged };
  std::string path;
  What what;
};
std::string_view to_string(
    Difference::What what);  // "missing", "was not made by the step", "changed or damaged"
// Of the files that are there from those that were recorded, by path.
std::vector<Difference> differences(std::vector<tracking::ArtifactEntry> recorded,
                                    const std::vector<tracking::ArtifactEntry>& found);

struct TreeStamps;

// Remembers hashes by (path, size, mtime, ctime, inode), so that what has not been touched is not read again:
// a file for each tree, in `folder`, which is made when there is something to remember ("": nothing is).
// Files written within the last moments before they were hashed may have changed since without a trace; they
// are read once more.
class FileHashes {
 public:
  // own: files and folders that belong to Tidemill, and are left out wherever names are.
  explicit FileHashes(fs::path folder = {}, std::vector<fs::path> own = {})
      : folder_(std::move(folder)), own_(std::move(own)) {}

  // Names of files and folders (not paths) that are left out, with what is below them.
  using Skip = bool (*)(std::string_view name);
  // A symbolic link counts as what it leads to; one that leads nowhere, or back to a folder on the way to it,
  // is left out. A folder that does not exist is an empty tree; a path that is a file is a tree of that file,
  // with path "". stamps: gets how all of it looked at that time.
  Result<FileTree> tree(const fs::path& path, Skip skip = nullptr, TreeStamps* stamps = nullptr) const;
  // kNotFound when there is no file at the path.
  Result<std::string> file(const fs::path& path) const;

 private:
  fs::path folder_;
  std::vector<fs::path> own_;
};

// What is remembered of a tree, as bytes.
struct KnownFile {
  std::string path;
  uint64_t size = 0, inode = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;
  bool executable = false, settled = false;  // settled: last written well before it was hashed
  std::string sha256;                        // hex

  bool same_stamp(const KnownFile& other) const {
    return size == other.size && inode == other.inode && mtime_ns == other.mtime_ns &&
           ctime_ns == other.ctime_ns && executable == other.executable;
  }
};

// FileTree::digest of these files, by path.
std::string digest_of_files(const std::vector<KnownFile>& files);

// How a tree looked, its folders too: enough to tell later, without listing it, that nothing in it was
// touched.
struct TreeStamps {
  std::vector<KnownFile>
      entries;          // paths below the root, which is ""; without hashes; none: nothing was there
  bool settled = true;  // nothing was written in the last moments before it was looked at

  uint64_t bytes() const;
};
// Whether it looks just so now.
bool is_untouched(const fs::path& path, const TreeStamps& stamps);

std::string encode_known(const std::vector<KnownFile>& files);
// Empty when the bytes are not what encode_known() makes.
std::vector<KnownFile> decode_known(std::string_view bytes);

}  // namespace tidemill::engine
