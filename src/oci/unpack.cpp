#include "oci/unpack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <deque>
#include <future>

#include "base/hash.h"
#include "base/text.h"
#include "oci/gzip.h"
#include "oci/tar.h"

namespace tidemill::oci {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

// "./a//b/" -> {"a", "b"}; refuses "..", and NUL, which no file name holds.
Result<std::vector<std::string>> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." || part.find('\0') != std::string::npos || part.size() > 255)
      return fail(Code::kInvalid, "a layer holds the path '{}', which leads out of the image", path);
    parts.push_back(std::move(part));
  }
  return parts;
}

class Unpacker {
 public:
  Unpacker(Fd root, const UnpackLimits& limits, UnpackCounters& counters)
      : root_(std::move(root)), limits_(limits), counters_(counters) {}

  Result<> apply(const TarItem& item, std::string_view tar) {
    if (++counters_.entries > limits_.max_entries)
      return fail(Code::kInvalid, "the image holds too many files");
    std::vector<std::string> parts = TRY(parts_of(item.path));
    if (parts.empty()) return {};
    std::string name = std::move(parts.back());
    parts.pop_back();
    Fd parent = TRY(folder(parts));
    if (name == kOpaque) return empty_folder(parent);
    if (name.starts_with(kWhiteout)) return remove(parent, name.substr(kWhiteout.size()));
    switch (item.kind) {
      case TarKind::kDirectory:
        return directory(parent, name, item.mode);
      case TarKind::kFile:
        return file(parent, name, item, tar);
      case TarKind::kSymlink:
        return symlink(parent, name, item.link);
      case TarKind::kHardLink:
        return hard_link(parent, name, item.link);
      case TarKind::kOther:
        return {};
    }
    return {};
  }

 private:
  // One path component below a folder, symbolic links followed but never out of the image.
  Result<Fd> descend(const Fd& from, const std::string& path) {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    auto opened = static_cast<int>(::syscall(SYS_openat2, from.get(), path.c_str(), &how, sizeof(how)));
    if (opened < 0 &&
        (errno == ENOSYS || errno == EPERM))  // kernels before 5.6, some sandboxes: no links at all
      opened = ::openat(from.get(), path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (opened < 0) return tl::unexpected(errno_error("open " + path, errno));
    return Fd(opened);
  }

  // The folder of that path, made where it is missing.
  Result<Fd> folder(const std::vector<std::string>& parts) {
    std::string path;
    Fd current = TRY(descend(root_, "."));
    for (const std::string& part : parts) {
      path += (path.empty() ? "" : "/") + part;
      auto next = descend(root_, path);
      if (!next && next.error().code == Code::kNotFound) {
        if (::mkdirat(current.get(), part.c_str(), 0755) != 0 ||
            ::fchmodat(current.get(), part.c_str(), 0755, 0) != 0)  // whatever the umask is
          return tl::unexpected(errno_error("mkdir " + path, errno));
        next = descend(root_, path);
      }
      current = TRY(std::move(next));
    }
    return current;
  }

  Result<> remove(const Fd& parent, const std::string& name) {
    if (name.empty() || name == "." || name == "..")
      return fail(Code::kInvalid, "a layer removes the file '{}'", name);
    if (::unlinkat(parent.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return tl::unexpected(errno_error("unlink " + name, errno));
    return remove_tree(parent, name);
  }

  // /proc/self/fd names the folder itself, so that no link above it can be followed.
  static fs::path path_of(const Fd& folder) { return fmt::format("/proc/self/fd/{}", folder.get()); }

  Result<> remove_tree(const Fd& parent, const std::string& name) {
    std::error_code error;
    fs::remove_all(path_of(parent) / name, error);
    if (error) return fail(Code::kUnavailable, "cannot remove '{}': {}", name, error.message());
    return {};
  }

  Result<> empty_folder(const Fd& folder) {
    std::error_code error;
    for (fs::directory_iterator it(path_of(folder), error), end; !error && it != end; it.increment(error))
      TRY(remove_tree(folder, it->path().filename().string()));
    if (error) return fail(Code::kUnavailable, "cannot empty a folder: {}", error.message());
    return {};
  }

  Result<> directory(const Fd& parent, const std::string& name, uint32_t mode) {
    struct stat status{};
    bool there = ::fstatat(parent.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && S_ISLNK(status.st_mode)) return {};  // a folder reached through a link stays where it is
    if (there && !S_ISDIR(status.st_mode)) {
      TRY(remove(parent, name));
      there = false;
    }
    if (!there && ::mkdirat(parent.get(), name.c_str(), 0755) != 0)
      return tl::unexpected(errno_error("mkdir " + name, errno));
    if (::fchmodat(parent.get(), name.c_str(), (mode & 01777) | 0700, 0) != 0)
      return tl::unexpected(errno_error("chmod " + name, errno));
    return {};
  }

  Result<> file(const Fd& parent, const std::string& name, const TarItem& item, std::string_view tar) {
    if (item.size > limits_.max_bytes || counters_.bytes > limits_.max_bytes - item.size)
      return fail(Code::kInvalid, "the image unpacks to more than {}", human_bytes(limits_.max_bytes));
    counters_.bytes += item.size;
    TRY(remove(parent, name));
    Fd out(::openat(parent.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out) return tl::unexpected(errno_error("create " + name, errno));
    TRY(write_all(out, tar.substr(item.offset, item.size)));
    if (::fchmod(out.get(), item.mode & 0777) != 0)
      return tl::unexpected(errno_error("chmod " + name, errno));
    return {};
  }

  Result<> symlink(const Fd& parent, const std::string& name, const std::string& target) {
    if (target.empty() || target.find('\0') != std::string::npos)
      return fail(Code::kInvalid, "a layer holds the link '{}' with a damaged target", name);
    TRY(remove(parent, name));
    if (::symlinkat(target.c_str(), parent.get(), name.c_str()) != 0)
      return tl::unexpected(errno_error("symlink " + name, errno));
    return {};
  }

  Result<> hard_link(const Fd& parent, const std::string& name, const std::string& target) {
    std::vector<std::string> parts = TRY(parts_of(target));
    if (parts.empty()) return fail(Code::kInvalid, "a layer holds the link '{}' without a target", name);
    std::string old_name = std::move(parts.back());
    parts.pop_back();
    Fd old_parent = TRY(folder(parts));
    struct stat status{};
    if (::fstatat(old_parent.get(), old_name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(status.st_mode))
      return fail(Code::kInvalid, "a layer holds the link '{}' to '{}', which is no file of the image", name,
                  target);
    struct stat same{};
    if (::fstatat(parent.get(), name.c_str(), &same, AT_SYMLINK_NOFOLLOW) == 0 &&
        same.st_ino == status.st_ino && same.st_dev == status.st_dev)
      return {};
    TRY(remove(parent, name));
    if (::linkat(old_parent.get(), old_name.c_str(), parent.get(), name.c_str(), 0) != 0)
      return tl::unexpected(errno_error("link " + name, errno));
    return {};
  }

  Fd root_;
  const UnpackLimits& limits_;
  UnpackCounters& counters_;
};

// A layer's tar from its blob: read, checked against both digests, decompressed.
Result<std::string> layer_tar(const ImageArchive& image, const ArchiveLayer& layer, uint64_t max_bytes) {
  Fd file = TRY(open_file(image.file, O_RDONLY));
  std::string blob(layer.size, '\0');
  for (size_t done = 0; done < blob.size();) {
    ssize_t got =
        ::pread(file.get(), blob.data() + done, blob.size() - done, static_cast<off_t>(layer.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected(errno_error("read " + image.file.string(), errno));
    if (got == 0) return fail(Code::kInvalid, "{}: ends too early", image.file.string());
    done += static_cast<size_t>(got);
  }
  if (!layer.digest.empty() && "sha256:" + sha256_hex(blob) != layer.digest)
    return fail(Code::kInvalid, "{}: layer {} is damaged: its digest differs", image.file.string(),
                layer.digest);
  if (blob.starts_with("\x28\xb5\x2f\xfd"))
    return fail(Code::kInvalid, "{}: layer {} is compressed with zstd, which is not supported",
                image.file.string(), layer.digest);
  bool compressed = blob.starts_with("\x1f\x8b");
  std::string tar = compressed ? TRY_IN(image.file.string(), gunzip(blob, max_bytes)) : std::move(blob);
  bool same = !compressed && layer.digest == layer.diff_id;  // then the digest has been checked already
  if (!same && "sha256:" + sha256_hex(tar) != layer.diff_id)
    return fail(Code::kInvalid, "{}: a layer is damaged: its content is not {}", image.file.string(),
                layer.diff_id);
  return tar;
}

}  // namespace

Result<> apply_layer(std::string_view tar, const fs::path& root, const UnpackLimits& limits,
                     UnpackCounters& counters) {
  Fd folder = TRY(open_file(root, O_PATH | O_DIRECTORY));
  Unpacker unpacker(std::move(folder), limits, counters);
  TarReader reader(tar);
  while (auto item = TRY(reader.next())) TRY_IN(item->path, unpacker.apply(*item, tar));
  return {};
}

Result<uint64_t> unpack_image(const ImageArchive& image, const fs::path& root, const UnpackLimits& limits) {
  std::error_code error;
  if (!fs::is_empty(root, error) || error)
    return fail(Code::kConflict, "{} is not an empty folder", root.string());
  uint64_t compressed = 0;
  for (const ArchiveLayer& layer : image.layers) compressed += layer.size;
  if (compressed > limits.max_bytes) return fail(Code::kInvalid, "{}: too large", image.file.string());
  // Layers are decompressed side by side, a few ahead, and applied in order.
  constexpr size_t kAhead = 4;
  std::deque<std::future<Result<std::string>>> running;
  UnpackCounters counters;
  size_t next = 0;
  while (next < image.layers.size() || !running.empty()) {
    for (; next < image.layers.size() && running.size() < kAhead; ++next)
      running.push_back(std::async(std::launch::async, [&image, &layer = image.layers[next], &limits] {
        return layer_tar(image, layer, limits.max_bytes);
      }));
    std::string tar = TRY(running.front().get());
    running.pop_front();
    TRY_IN(image.file.string(), apply_layer(tar, root, limits, counters));
  }
  return counters.bytes;
}

}  // namespace tidemill::oci
