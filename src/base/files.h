// Files: owned descriptors, whole-file reads, atomic and durable writes.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace tidemill {

namespace fs = std::filesystem;

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added.
Result<Fd> open_file(const fs::path& path, int flags, int mode = 0644);
// read(2), repeated on EINTR. 0 at the end of the file.
Result<size_t> read_some(const Fd& fd, std::span<char> buffer);
Result<> write_all(const Fd& fd, std::string_view bytes);

// Refuses files larger than max_bytes (kInvalid).
Result<std::string> read_file(const fs::path& path, uint64_t max_bytes = uint64_t{1} << 32);

enum class Durable { no, yes };
// Replaces the file in one step: written beside it, then renamed over it; a reader sees the old or
// the new content, never half of one. Durable::yes also reaches the disk before returning (fsync of file and
// folder).
Result<> write_file_atomic(const fs::path& path, std::string_view bytes, Durable durable = Durable::yes);
// The same for a file that is not there yet: kConflict, and nothing changed, where it is, also where another
// process makes it at the same moment.
Result<> create_file_atomic(const fs::path& path, std::string_view bytes, Durable durable = Durable::yes);

Result<> make_dirs(const fs::path& path);
Result<> remove_all(const fs::path& path);

// root / relative, if it stays inside root: refuses absolute paths, empty parts, "." and "..", NUL and
// backslashes. Symbolic links are resolved for the parts that exist, and must not lead out of root either.
Result<fs::path> path_inside(const fs::path& root, std::string_view relative);

// A new empty folder under parent (default: the system's temporary folder), removed with its content on
// destruction.
class TempDir {
 public:
  static Result<TempDir> create(const fs::path& parent = {}, std::string_view prefix = "tidemill-");
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TempDir();

  const fs::path& path() const { return path_; }

 private:
  explicit TempDir(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

}  // namespace tidemill
