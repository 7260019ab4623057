// Tar archives: written the same byte for byte for the same input, read with every number bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::oci {

// Writes POSIX ustar; a PAX header only where a name or a size does not fit. Owner 0:0, no names, one time
// for all.
class TarWriter {
 public:
  using Sink = std::function<Result<>(std::string_view)>;
  TarWriter(Sink sink, int64_t mtime) : sink_(std::move(sink)), mtime_(mtime) {}

  Result<> directory(std::string_view path, uint32_t mode);
  Result<> symlink(std::string_view path, std::string_view target);
  Result<> file(std::string_view path, uint32_t mode, std::string_view bytes);
  // A file in pieces: begin, append until `size` bytes are there, end.
  Result<> begin_file(std::string_view path, uint32_t mode, uint64_t size);
  Result<> append(std::string_view bytes);
  Result<> end_file();
  // Two zero blocks. Nothing may follow.
  Result<> finish();

 private:
  Result<> header(std::string_view path, uint32_t mode, uint64_t size, char type, std::string_view link);
  Sink sink_;
  int64_t mtime_ = 0;
  uint64_t written_ = 0;
  uint64_t expected_ = 0;
};

enum class TarKind { kFile, kDirectory, kSymlink, kHardLink, kOther };

struct TarItem {
  TarKind kind = TarKind::kFile;
  std::string path;  // as stored
  std::string link;
  uint32_t mode = 0;
  uint64_t uid = 0, gid = 0;
  uint64_t offset = 0;  // of the body
  uint64_t size = 0;    // of the body; lies inside the archive
};

// Reads ustar, PAX and GNU long names. Never trusts a size beyond the end of the archive.
class TarReader {
 public:
  // Fills the whole span from an offset, or fails.
  using ReadAt = std::function<Result<>(uint64_t offset, std::span<char> out)>;
  TarReader(ReadAt read_at, uint64_t size) : read_at_(std::move(read_at)), size_(size) {}
  // Over memory; the bytes must outlive the reader.
  explicit TarReader(std::string_view bytes);

  // The next entry; nullopt at the end. kInvalid with the byte position.
  Result<std::optional<TarItem>> next();

 private:
  struct Extended;
  Result<std::string> body(uint64_t offset, uint64_t size);
  Result<bool> read_extended(char type, const TarItem& item, Extended& extended);

  ReadAt read_at_;
  uint64_t size_ = 0;
  uint64_t position_ = 0;
};

}  // namespace tidemill::oci
