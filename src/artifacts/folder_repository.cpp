#include "artifacts/folder_repository.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

#include "base/id.h"
#include "base/text.h"

namespace tidemill::artifacts {
namespace {

tl::unexpected<Error> invalid_path() { return fail(Code::kInvalid, "Invalid path"); }

tl::unexpected<Error> not_found(std::string_view path) {
  return fail(Code::kNotFound, "No such artifact: '{}'", path);
}

Error last_error(std::string_view verb, std::string_view path) {
  if (errno == EISDIR || errno == ENOTDIR || errno == ENOTEMPTY || errno == EEXIST)
    return {Code::kConflict, fmt::format("cannot {} artifact '{}': {}", verb, path, strerror(errno))};
  return errno_error(fmt::format("{} artifact '{}'", verb, path), errno);
}

constexpr off_t kLargeBytes = 16 << 20;

// A file whose place another one takes meanwhile. File systems give back the space of a large one in about
// the time that writing it took: whoever replaces it does not wait for that.
class ReplacedFile {
 public:
  explicit ReplacedFile(const fs::path& place)
      : file_(::open(place.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)) {}
  ReplacedFile(const ReplacedFile&) = delete;
  ReplacedFile& operator=(const ReplacedFile&) = delete;
  ~ReplacedFile() {
    struct stat info{};
    if (!file_ || ::fstat(file_.get(), &info) != 0 || info.st_size < kLargeBytes) return;
    try {
      std::thread([held = std::move(file_)] {}).detach();
    } catch (const std::system_error&) {  // no thread to be had: given back at once
    }
  }

 private:
  Fd file_;
};

// A large one alone: small ones would take several times as long, and there may be tens of thousands of them.
Result<> flush_large(const fs::path& path) {
  Fd file = TRY(open_file(path, O_RDONLY));
  struct stat info{};
  bool is_flushed =
      ::fstat(file.get(), &info) == 0 && (info.st_size < kLargeBytes || ::fdatasync(file.get()) == 0);
  return is_flushed ? Result<>() : tl::unexpected<Error>(errno_error("flush " + path.string(), errno));
}

}  // namespace

Result<fs::path> FolderRepository::resolve(std::string_view path) const {
  while (path.ends_with('/') && path.size() > 1) path.remove_suffix(1);
  if (!check_path(path) || path == kIncoming || path.starts_with(fmt::format("{}/", kIncoming)))
    return invalid_path();
  auto inside = path_inside(root_, path);
  if (!inside) return invalid_path();
  return inside;
}

Result<std::vector<FileInfo>> FolderRepository::list(std::string_view folder) const {
  fs::path place = TRY(resolve(folder));
  std::vector<FileInfo> found;
  std::error_code error;
  for (auto it = fs::directory_iterator(place, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::string name = it->path().filename().string();
    if (folder.empty() && name == kIncoming) continue;
    if (it->is_symlink(error) && !path_inside(root_, it->path().lexically_relative(root_).string())) continue;
    struct stat info{};
    if (::stat(it->path().c_str(), &info) != 0) continue;  // removed meanwhile, or a dangling link
    bool is_folder = S_ISDIR(info.st_mode);
    FileInfo entry{std::move(name), is_folder, is_folder ? 0 : static_cast<uint64_t>(info.st_size)};
    entry.is_special = !is_folder && !S_ISREG(info.st_mode);
    if (auto time = fs::last_write_time(it->path(), error); !is_folder && !error) entry.written = time;
    error.clear();
    found.push_back(std::move(entry));
  }
  if (error && error.value() != ENOENT && error.value() != ENOTDIR)
    return tl::unexpected<Error>(errno_error("list " + place.string(), error.value()));
  std::sort(found.begin(), found.end(), [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  return found;
}

Result<fs::path> FolderRepository::find(std::string_view path) const {
  fs::path place = TRY(resolve(path));
  struct stat info{};
  if (::stat(place.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return not_found(path);
  return place;
}

Result<fs::path> FolderRepository::make_place(std::string_view path) const {
  fs::path place = TRY(resolve(path));
  if (path.empty() || path.ends_with('/')) return invalid_path();
  std::error_code error;
  fs::create_directories(place.parent_path(), error);
  if (error) {
    errno = error.value();
    return tl::unexpected<Error>(last_error("store", path));
  }
  return place;
}

Result<std::unique_ptr<ArtifactRepository>> FolderRepository::below(std::string_view folder) const {
  fs::path root = folder.empty() ? root_ : TRY(path_inside(root_, folder));
  return std::make_unique<FolderRepository>(std::move(root));
}

Result<HttpResponse> FolderRepository::answer(const HttpRequest& request, std::string_view path) const {
  return HttpResponse::file(request, TRY(find(path)));
}

Result<> FolderRepository::download(std::string_view path, const fs::path& target) const {
  std::error_code error;
  fs::copy_file(TRY(find(path)), target, fs::copy_options::overwrite_existing, error);
  if (!error) return {};
  return tl::unexpected<Error>(errno_error(fmt::format("copy to {}", target.string()), error.value()));
}

Result<> FolderRepository::put(std::string_view path, std::string_view bytes) const {
  fs::path temporary = TRY(incoming()) / fmt::format("put-{:016x}", random_u64());
  TRY(write_file_atomic(temporary, bytes, Durable::no));
  auto stored = put_file(path, temporary, Source::kMove);
  if (!stored) ::unlink(temporary.c_str());
  return stored;
}

Result<> FolderRepository::put_file(std::string_view path, const fs::path& source,
                                    Source source_afterwards) const {
  fs::path place = TRY(make_place(path));
  ReplacedFile replaced(place);
  bool may_rename = source_afterwards == Source::kMove;
  if (may_rename) TRY(flush_large(source));
  if (may_rename && ::rename(source.c_str(), place.c_str()) == 0) return {};
  if (may_rename && errno != EXDEV) return tl::unexpected<Error>(last_error("store", path));
  fs::path temporary = TRY(incoming()) / fmt::format("copy-{:016x}", random_u64());
  std::error_code error;
  fs::copy_file(source, temporary, error);
  errno = error.value();
  if (!error && ::rename(temporary.c_str(), place.c_str()) == 0) {
    if (may_rename) ::unlink(source.c_str());
    return {};
  }
  Error problem = last_error("store", path);
  ::unlink(temporary.c_str());
  return tl::unexpected<Error>(std::move(problem));
}

Result<> FolderRepository::remove(std::string_view path) const {
  fs::path place = TRY(resolve(path));
  if (path.empty()) return invalid_path();
  std::error_code error;
  if (!fs::exists(fs::symlink_status(place, error))) return not_found(path);
  return tidemill::remove_all(place);
}

Result<fs::path> FolderRepository::incoming() const {
  fs::path folder = root_ / kIncoming;
  TRY(make_dirs(folder));
  return folder;
}

bool lies_in(const fs::path& path, const fs::path& root) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  if (error) return false;
  fs::path real_root = fs::weakly_canonical(root, error);
  if (error) return false;
  auto [end, unused] = std::mismatch(real_root.begin(), real_root.end(), real.begin(), real.end());
  return end == real_root.end();
}

std::optional<fs::path> local_folder(std::string_view artifact_uri) {
  constexpr std::string_view kFile = "file:";
  if (artifact_uri.starts_with(kFile)) {
    artifact_uri.remove_prefix(kFile.size());
    if (artifact_uri.starts_with("//")) {
      size_t slash = artifact_uri.find('/', 2);
      std::string_view host = artifact_uri.substr(2, slash == std::string_view::npos ? slash : slash - 2);
      if (slash == std::string_view::npos || (!host.empty() && host != "localhost")) return std::nullopt;
      artifact_uri.remove_prefix(slash);
    }
    return fs::path(url_decode(artifact_uri));
  }
  size_t colon = artifact_uri.find(':');
  bool has_scheme =
      colon != std::string_view::npos && artifact_uri.substr(0, colon).find('/') == std::string_view::npos;
  if (has_scheme || artifact_uri.empty()) return std::nullopt;
  return fs::path(artifact_uri);
}

std::optional<fs::path> local_folder(std::string_view artifact_uri, const fs::path& destination) {
  auto proxied = proxied_path(artifact_uri);
  if (!proxied) return local_folder(artifact_uri);
  return destination.empty() ? std::nullopt : std::optional(destination / *proxied);
}

}  // namespace tidemill::artifacts
