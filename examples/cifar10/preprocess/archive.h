// A folder or a .tar.gz, read through one function: the bytes of a file by its name.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"

namespace tidemill::cifar10 {

// What a download must be, as its publisher says. Empty texts are not checked.
struct Expected {
  uint64_t bytes = 0;
  std::string_view md5;
  std::string_view sha256;
};

// The regular files of an unpacked tar, by the last part of their name.
using TarIndex = std::map<std::string, std::span<const uint8_t>, std::less<>>;

// Unpacks a gzip stream of one member. kInvalid for damage, or when it says to be larger than max_bytes.
Result<std::string> gunzip(std::span<const uint8_t> gzip, uint64_t max_bytes);
// POSIX tar: kInvalid with the byte offset for a damaged or truncated one. The spans point into the tar.
Result<TarIndex> index_tar(std::span<const uint8_t> tar);

class SourceFiles {
 public:
  // A folder, or a .tar.gz whose size and checksum are compared with expected first.
  static Result<SourceFiles> open(const fs::path& path, const std::optional<Expected>& expected);

  bool has(std::string_view name) const;
  // kNotFound names the file and where it was looked for.
  Result<std::span<const uint8_t>> read(std::string_view name) const;
  // "path/name" or "archive.tar.gz: name", for messages.
  std::string describe(std::string_view name) const;

 private:
  fs::path path_;
  bool is_folder_ = false;
  std::string tar_;
  TarIndex index_;
  mutable std::map<std::string, std::string, std::less<>> loaded_;  // files of a folder that were read
};

}  // namespace tidemill::cifar10
