#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/id.h"

namespace tidemill {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

static tl::unexpected<Error> fail_errno(std::string_view verb, const fs::path& path) {
  return tl::unexpected<Error>(errno_error(fmt::format("{} {}", verb, path.string()), errno));
}

Result<Fd> open_file(const fs::path& path, int flags, int mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_errno(flags & O_CREAT ? "create" : "open", path);
  return Fd(fd);
}

Result<size_t> read_some(const Fd& fd, std::span<char> buffer) {
  for (;;) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return tl::unexpected<Error>(errno_error("read", errno));
  }
}

Result<> write_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t wrote = ::write(fd.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return tl::unexpected<Error>(errno_error("write", errno));
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

Result<std::string> read_file(const fs::path& path, uint64_t max_bytes) {
  Fd file = TRY(open_file(path, O_RDONLY));
  struct stat info{};
  if (fstat(file.get(), &info) != 0) return fail_errno("stat", path);
  if (S_ISDIR(info.st_mode)) return fail(Code::kInvalid, "{} is a folder, not a file", path.string());
  auto too_large = [&] {
    return fail(Code::kInvalid, "{} is larger than {} bytes", path.string(), max_bytes);
  };
  if (static_cast<uint64_t>(info.st_size) > max_bytes) return too_large();
  std::string content;
  content.reserve(static_cast<size_t>(info.st_size));
  char buffer[1 << 16];
  for (;;) {
    size_t got = TRY_IN(path.string(), read_some(file, buffer));
    if (got == 0) return content;
    if (content.size() + got > max_bytes) return too_large();
    content.append(buffer, got);
  }
}

static Result<> sync_folder(const fs::path& folder) {
  Fd dir = TRY(open_file(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
  if (fsync(dir.get()) != 0) return fail_errno("fsync", folder);
  return {};
}

// rename_into_place: a rename as ::rename, of the file beside to where it belongs.
static Result<> write_beside(const fs::path& path, std::string_view bytes, Durable durable,
                             int (*rename_into_place)(const char* from, const char* to)) {
  fs::path temporary = path;
  temporary += fmt::format(".{:016x}.tmp", random_u64());
  Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return fail_errno("create", path);  // a name that the caller knows
  auto write_and_rename = [&]() -> Result<> {
    TRY_IN(path.string(), write_all(file, bytes));
    if (durable == Durable::yes && fsync(file.get()) != 0) return fail_errno("fsync", path);
    if (rename_into_place(temporary.c_str(), path.c_str()) != 0) return fail_errno("rename to", path);
    return {};
  };
  if (auto written = write_and_rename(); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  return durable == Durable::yes ? sync_folder(path.parent_path()) : Result<>{};
}

Result<> write_file_atomic(const fs::path& path, std::string_view bytes, Durable durable) {
  return write_beside(path, bytes, durable, ::rename);
}

Result<> create_file_atomic(const fs::path& path, std::string_view bytes, Durable durable) {
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(path, ignored)))
    return fail(Code::kConflict, "{} is there already", path.string());
  return write_beside(path, bytes, durable, [](const char* from, const char* to) {
    return ::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  });
}

Result<> make_dirs(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return tl::unexpected<Error>(errno_error("create folder " + path.string(), error.value()));
  return {};
}

Result<> remove_all(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return tl::unexpected<Error>(errno_error("remove " + path.string(), error.value()));
  return {};
}

Result<fs::path> path_inside(const fs::path& root, std::string_view relative) {
  auto refuse = [&] { return fail(Code::kInvalid, "invalid path '{}'", relative); };
  if (relative.find('\0') != std::string_view::npos || relative.find('\\') != std::string_view::npos)
    return refuse();
  fs::path path = root;
  for (size_t start = 0; start < relative.size();) {
    size_t end = std::min(relative.find('/', start), relative.size());
    std::string_view part = relative.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return refuse();
    path /= part;
    start = end + 1;
  }
  std::error_code error;
  fs::path real_root = fs::weakly_canonical(root, error);
  fs::path real = error ? fs::path{} : fs::weakly_canonical(path, error);
  if (error) return refuse();
  auto [end_of_root, unused] = std::mismatch(real_root.begin(), real_root.end(), real.begin(), real.end());
  if (end_of_root != real_root.end()) return refuse();
  return path;
}

Result<TempDir> TempDir::create(const fs::path& parent, std::string_view prefix) {
  std::error_code error;
  fs::path base = parent.empty() ? fs::temp_directory_path(error) : parent;
  std::string path = (base / fmt::format("{}XXXXXX", prefix)).string();
  if (mkdtemp(path.data()) == nullptr) return fail_errno("create folder", path);
  return TempDir(path);
}

TempDir::~TempDir() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace tidemill
