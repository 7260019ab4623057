#include "projects/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http_client.h"
#include "projects/cache_folder.h"

namespace tidemill::projects {
namespace {

constexpr size_t kMostFiles = 100'000;
constexpr uint64_t kMostBytes = uint64_t{8} << 30;
constexpr int kMostRedirects = 5;

struct Closer {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

class Unpacker {
 public:
  Unpacker(const fs::path& file, const fs::path& to) : file_(file), to_(to), reader_(archive_read_new()) {
    archive_read_support_format_zip(reader_.get());
  }

  Result<> run() {
    if (archive_read_open_filename(reader_.get(), file_.c_str(), 64 << 10) != ARCHIVE_OK) return broken();
    archive_entry* entry = nullptr;
    for (int status; (status = archive_read_next_header(reader_.get(), &entry)) != ARCHIVE_EOF;) {
      if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return broken();
      if (++files_ > kMostFiles)
        return fail(Code::kInvalid, "{}: more than {} files", file_.string(), kMostFiles);
      TRY_IN(file_.string(), unpack(entry));
    }
    return {};
  }

 private:
  Result<> broken() const {
    const char* text = archive_error_string(reader_.get());
    return fail(Code::kInvalid, "{}: no zip archive that can be read: {}", file_.string(),
                text != nullptr ? text : "damaged");
  }

  Result<> unpack(archive_entry* entry) {
    const char* name = archive_entry_pathname_utf8(entry);
    std::string relative = name != nullptr ? name : "";
    while (relative.ends_with('/')) relative.pop_back();
    const fs::path path = TRY(path_inside(to_, relative));
    if (archive_entry_filetype(entry) == AE_IFDIR) return make_dirs(path);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr)
      return fail(Code::kInvalid, "'{}' is neither a file nor a folder", relative);
    TRY(make_dirs(path.parent_path()));
    const int mode = (archive_entry_perm(entry) & 0111) != 0 ? 0755 : 0644;
    return copy_content(TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)));
  }

  Result<> copy_content(const Fd& file) {
    std::array<char, 64 << 10> buffer;
    for (;;) {
      const la_ssize_t size = archive_read_data(reader_.get(), buffer.data(), buffer.size());
      if (size < 0) return broken();
      if (size == 0) return {};
      bytes_ += static_cast<uint64_t>(size);
      if (bytes_ > kMostBytes) return fail(Code::kInvalid, "more than {}", human_bytes(kMostBytes));
      TRY(write_all(file, {buffer.data(), static_cast<size_t>(size)}));
    }
  }

  const fs::path &file_, &to_;
  std::unique_ptr<archive, Closer> reader_;
  size_t files_ = 0;
  uint64_t bytes_ = 0;
};

Result<> download(std::string url, const fs::path& to) {
  for (int i = 0; i <= kMostRedirects; ++i) {
    const size_t slash = url.find('/', url.find("://") + 3);
    HttpClient client = TRY(HttpClient::create(url.substr(0, slash)));
    const std::string target = slash == std::string::npos ? "/" : url.substr(slash);
    const ClientResponse answer = TRY(client.send({.target = target, .save_to = to}));
    if (answer.status / 100 == 2) return {};
    const std::string next(answer.headers.get("Location"));
    if (answer.status / 100 != 3 || next.empty())
      return fail(answer.status == 404 ? Code::kNotFound : Code::kUnavailable, "{}: the server answers {}",
                  url, answer.status);
    url = next.starts_with("/") ? url.substr(0, slash) + next : next;
    if (!url.starts_with("http://") && !url.starts_with("https://"))
      return fail(Code::kInvalid, "redirected to {}, which is neither http nor https", url);
  }
  return fail(Code::kUnavailable, "{}: redirected more than {} times", url, kMostRedirects);
}

// The file to unpack: fetched when the place is a URL.
Result<fs::path> file_of(const std::string& place, const fs::path& root) {
  if (!place.starts_with("http://") && !place.starts_with("https://")) return fs::path(place);
  const fs::path kept = root / (sha256_hex(place).substr(0, 16) + ".zip");
  TempDir folder = TRY(TempDir::create(root, "download-"));
  log_info("fetching {}", place);
  std::error_code error;
  if (auto fetched = download(place, folder.path() / "archive"); fetched) {
    fs::rename(folder.path() / "archive", kept, error);
  } else if (fs::exists(kept, error) && fetched.error().code == Code::kUnavailable) {
    log_warning("{}; using what was fetched before", fetched.error().message);
  } else {
    return tl::unexpected(std::move(fetched).error());
  }
  return kept;
}

}  // namespace

Result<fs::path> unpacked(const std::string& place, const fs::path& root) {
  Fd lock =
      TRY(lock_file(root / "lock", [&] { log_info("{}: another process is unpacking, waiting", place); }));
  const fs::path file = TRY(file_of(place, root));
  const fs::path folder = root / TRY(sha256_file(file));
  std::error_code error;
  if (fs::exists(folder, error)) return folder;
  TempDir fresh = TRY(TempDir::create(root, "unpack-"));
  const fs::path files = fresh.path() / "files";
  TRY(make_dirs(files));
  TRY(Unpacker(file, files).run());
  fs::rename(files, folder, error);
  if (error) return fail(Code::kUnavailable, "cannot make {}: {}", folder.string(), error.message());
  return folder;
}

}  // namespace tidemill::projects
