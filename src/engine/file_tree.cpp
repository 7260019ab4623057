#include "engine/file_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <span>
#include <thread>

#include "base/hash.h"
#include "engine/bytes.h"

namespace tidemill::engine {
namespace {

using tracking::ArtifactEntry;

constexpr int64_t kSecond = 1'000'000'000;
constexpr std::string_view kMagic = "tidemill hashes 1\n";
constexpr size_t kHashBytes = 32;

int64_t nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

// Kernels stamp files with a clock that ticks every 1 to 10 ms; some file systems keep whole seconds only.
bool is_settled(const KnownFile& file, int64_t hashed_at) {
  int64_t newest = std::max(file.mtime_ns, file.ctime_ns);
  bool whole_seconds = file.mtime_ns % kSecond == 0 && file.ctime_ns % kSecond == 0;
  return newest + (whole_seconds ? 2 * kSecond : kSecond / 10) < hashed_at;
}

KnownFile stamp_of(std::string path, const struct stat& info) {
  return {.path = std::move(path),
          .size = static_cast<uint64_t>(info.st_size),
          .inode = info.st_ino,
          .mtime_ns = nanoseconds(info.st_mtim),
          .ctime_ns = nanoseconds(info.st_ctim),
          .executable = (info.st_mode & S_IXUSR) != 0,
          .sha256 = {}};
}

unsigned workers() {
  static const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  return count;
}

// A folder to be read, and the real paths of the folders in which links were followed on the way to it.
struct Folder {
  std::string path;
  std::shared_ptr<const std::vector<fs::path>> crossed;
};

bool is_at_or_above(const fs::path& above, const fs::path& path) {
  return std::mismatch(above.begin(), above.end(), path.begin(), path.end()).first == above.end();
}

// Lists folders on all cores: each worker takes a folder, and adds those that it finds to the queue.
class Lister {
 public:
  // stamps: gets those of the folders and of links that lead nowhere, when not null.
  Lister(const fs::path& root, FileHashes::Skip skip, const std::vector<fs::path>& own,
         std::vector<KnownFile>* stamps)
      : root_(root), skip_(skip), own_(own), stamps_(stamps) {}

  Result<std::vector<KnownFile>> list() {
    TRY(read_folder({}, files_, waiting_));
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < workers() && waiting_.size() > 1; ++i) threads.emplace_back([this] { work(); });
    work();
    threads.clear();
    if (error_) return tl::unexpected<Error>(*error_);
    std::sort(files_.begin(), files_.end(),
              [](const KnownFile& a, const KnownFile& b) { return a.path < b.path; });
    return std::move(files_);
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return !waiting_.empty() || busy_ == 0; });
      if (waiting_.empty()) return;
      Folder folder = std::move(waiting_.back());
      waiting_.pop_back();
      ++busy_;
      lock.unlock();
      std::vector<KnownFile> files;
      std::vector<Folder> folders;
      auto read = read_folder(folder, files, folders);
      lock.lock();
      --busy_;
      if (!read) error_ = read.error();
      std::move(files.begin(), files.end(), std::back_inserter(files_));
      std::move(folders.begin(), folders.end(), std::back_inserter(waiting_));
      wake_.notify_all();
    }
  }

  Result<> read_folder(const Folder& folder, std::vector<KnownFile>& files, std::vector<Folder>& folders) {
    fs::path place = folder.path.empty() ? root_ : root_ / folder.path;
    DIR* open = opendir(place.c_str());
    if (open == nullptr) return tl::unexpected<Error>(errno_error("list " + place.string(), errno));
    note_folder(folder.path, dirfd(open));
    while (dirent* entry = readdir(open)) {
      std::string_view name = entry->d_name;
      if (name == "." || name == ".." || is_left_out(place, name)) continue;
      std::string path = folder.path.empty() ? std::string(name) : fmt::format("{}/{}", folder.path, name);
      struct stat info{};
      // Gone in the meantime: as if it had not been there.
      if (fstatat(dirfd(open), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      const bool is_link = S_ISLNK(info.st_mode);
      if (is_link && fstatat(dirfd(open), entry->d_name, &info, 0) != 0) {
        note(stamp_of(std::move(path), info));
        continue;
      }
      if (S_ISREG(info.st_mode)) files.push_back(stamp_of(std::move(path), info));
      if (!S_ISDIR(info.st_mode)) continue;
      auto crossed = is_link ? crossing(folder, place, place / name) : folder.crossed;
      if (!is_link || crossed) folders.push_back({std::move(path), std::move(crossed)});
    }
    closedir(open);
    return {};
  }

  bool is_left_out(const fs::path& folder, std::string_view name) const {
    if (skip_ == nullptr) return false;
    std::error_code ignored;
    return skip_(name) || std::any_of(own_.begin(), own_.end(), [&](const fs::path& own) {
             return own.filename() == name && fs::equivalent(folder / name, own, ignored);
           });
  }

  // What was crossed once this link is followed; null when it leads back to where one came from.
  static std::shared_ptr<const std::vector<fs::path>> crossing(const Folder& folder, const fs::path& from,
                                                               const fs::path& link) {
    std::error_code error;
    const fs::path to = fs::canonical(link, error);
    std::vector<fs::path> crossed = folder.crossed ? *folder.crossed : std::vector<fs::path>{};
    crossed.push_back(fs::canonical(from, error));
    if (error || std::any_of(crossed.begin(), crossed.end(),
                             [&](const fs::path& place) { return is_at_or_above(to, place); }))
      return nullptr;
    return std::make_shared<const std::vector<fs::path>>(std::move(crossed));
  }

  // Before its entries are read: what changes meanwhile shows later.
  void note_folder(const std::string& folder, int descriptor) {
    struct stat info{};
    if (stamps_ != nullptr && fstat(descriptor, &info) == 0) note(stamp_of(folder, info));
  }

  void note(KnownFile stamp) {
    if (stamps_ == nullptr) return;
    std::lock_guard lock(stamps_mutex_);
    stamps_->push_back(std::move(stamp));
  }

  const fs::path& root_;
  FileHashes::Skip skip_;
  const std::vector<fs::path>& own_;
  std::vector<KnownFile>* stamps_;
  std::mutex mutex_, stamps_mutex_;
  std::condition_variable wake_;
  std::vector<Folder> waiting_;
  size_t busy_ = 0;
  std::vector<KnownFile> files_;
  std::optional<Error> error_;
};

// Most files of a data set are small: one read, one hash, one buffer for all of them, and no walk from the
// root of the file system to each.
Result<> hash_file(const fs::path& root, const Fd& folder, KnownFile& entry, std::vector<char>& buffer) {
  const fs::path path = entry.path.empty() ? root : fs::path(entry.path);
  Fd file(::openat(folder.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return tl::unexpected<Error>(errno_error("open " + (root / path).string(), errno));
  Sha256 sha;
  const uint64_t expected = std::exchange(entry.size, 0);
  for (;;) {
    size_t got = TRY_IN((root / path).string(), read_some(file, buffer));
    sha.update({buffer.data(), got});
    entry.size += got;
    // A file system may give less than there is.
    if (got == 0 || (got < buffer.size() && entry.size >= expected)) break;
  }
  entry.sha256 = sha.hex();
  return {};
}

struct Portion {
  std::span<KnownFile* const> files;
  uint64_t bytes = 0;
};

// Many small files at a time, large ones one by one; the largest first, so that all threads end together.
std::vector<Portion> portions_of(const std::vector<KnownFile*>& files) {
  constexpr size_t kMostFiles = 64;
  constexpr uint64_t kEnoughBytes = 1 << 20;
  std::vector<Portion> portions;
  for (size_t i = 0; i < files.size(); ++i) {
    if (portions.empty() || portions.back().files.size() == kMostFiles ||
        portions.back().bytes + files[i]->size > kEnoughBytes)
      portions.push_back({{files.data() + i, 0}});
    Portion& portion = portions.back();
    portion.files = {portion.files.data(), portion.files.size() + 1};
    portion.bytes += files[i]->size;
  }
  std::stable_sort(portions.begin(), portions.end(),
                   [](const Portion& a, const Portion& b) { return a.bytes > b.bytes; });
  return portions;
}

Result<> hash_files(const fs::path& root, const std::vector<KnownFile*>& files) {
  if (files.empty()) return {};
  std::error_code ignored;
  const Fd folder =
      TRY(open_file(fs::is_directory(root, ignored) ? root : root.parent_path(), O_RDONLY | O_DIRECTORY));
  const std::vector<Portion> portions = portions_of(files);
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  Result<> outcome;
  auto work = [&] {
    std::vector<char> buffer(1 << 18);
    for (size_t i; (i = next.fetch_add(1)) < portions.size();)
      for (KnownFile* file : portions[i].files)
        if (auto hashed = hash_file(root, folder, *file, buffer); !hashed) {
          std::lock_guard lock(mutex);
          outcome = std::move(hashed);
        }
  };
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < std::min<size_t>(workers(), portions.size()); ++i) threads.emplace_back(work);
  work();
  threads.clear();
  return outcome;
}

std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex(bytes.size() * 2, '0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    hex[2 * i] = kDigits[static_cast<unsigned char>(bytes[i]) >> 4];
    hex[2 * i + 1] = kDigits[static_cast<unsigned char>(bytes[i]) & 15];
  }
  return hex;
}

void put_hex(std::string& out, std::string_view hex) {
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
}

}  // namespace

std::string digest_of_files(const std::vector<KnownFile>& files) {
  Sha256 sha;
  std::string line;
  for (const auto& file : files) {
    line = file.path;
    line += '\0';
    line += file.executable ? 'x' : '-';
    line += file.sha256;
    sha.update(line);
  }
  return sha.hex();
}

std::string encode_known(const std::vector<KnownFile>& files) {
  std::string out(kMagic);
  for (const auto& file : files) {
    put(out, static_cast<uint16_t>(file.path.size()));
    out += file.path;
    put(out, file.size);
    put(out, file.inode);
    put(out, file.mtime_ns);
    put(out, file.ctime_ns);
    put(out, static_cast<uint8_t>(file.executable | file.settled << 1));
    put_hex(out, file.sha256);
  }
  return out;
}

std::vector<KnownFile> decode_known(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return {};
  Bytes in(bytes.substr(kMagic.size()));
  std::vector<KnownFile> files;
  while (!in.empty()) {
    KnownFile file;
    uint16_t length = 0;
    uint8_t flags = 0;
    std::string_view path, hash;
    if (!in.get(length) || !in.take(length, path) || !in.get(file.size) || !in.get(file.inode) ||
        !in.get(file.mtime_ns) || !in.get(file.ctime_ns) || !in.get(flags) || !in.take(kHashBytes, hash))
      return {};
    file.path = path;
    file.executable = (flags & 1) != 0;
    file.settled = (flags & 2) != 0;
    file.sha256 = to_hex(hash);
    files.push_back(std::move(file));
  }
  return files;
}

uint64_t FileTree::bytes() const {
  uint64_t sum = 0;
  for (const auto& file : files) sum += file.size;
  return sum;
}

std::optional<std::string> FileTree::digest_of(std::string_view path) const {
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) return digest;
  auto by_path = [](const ArtifactEntry& entry, const std::string& wanted) { return entry.path < wanted; };
  auto file = std::lower_bound(files.begin(), files.end(), std::string(path), by_path);
  if (file != files.end() && file->path == path) return file->sha256;
  std::string below = std::string(path) + "/";
  auto first = std::lower_bound(files.begin(), files.end(), below, by_path);
  Sha256 sha;
  auto at = first;
  for (; at != files.end() && at->path.starts_with(below); ++at)
    sha.update(fmt::format("{}\n{}\n", at->path.substr(below.size()), at->sha256));
  return at == first ? std::nullopt : std::optional(sha.hex());
}

// Takes over what is remembered of files that have not been touched; returns the others.
static std::vector<KnownFile*> recall(std::vector<KnownFile>& files, std::vector<KnownFile> known) {
  std::vector<KnownFile*> unknown;
  auto old = known.begin();
  for (auto& file : files) {
    while (old != known.end() && old->path < file.path) ++old;
    if (old != known.end() && old->path == file.path && old->settled && old->same_stamp(file)) {
      file.sha256 = std::move(old->sha256);
      file.settled = true;
    } else {
      unknown.push_back(&file);
    }
  }
  return unknown;
}

uint64_t TreeStamps::bytes() const {
  uint64_t sum = 0;
  for (const auto& entry : entries) sum += entry.size;
  return sum;
}

static void keep_stamps(const std::vector<KnownFile>& files, int64_t looked_at, TreeStamps& stamps) {
  stamps.entries.insert(stamps.entries.end(), files.begin(), files.end());
  stamps.settled = std::all_of(stamps.entries.begin(), stamps.entries.end(),
                               [&](const KnownFile& entry) { return is_settled(entry, looked_at); });
}

bool is_untouched(const fs::path& path, const TreeStamps& stamps) {
  struct stat info{};
  if (stamps.entries.empty()) return ::stat(path.c_str(), &info) != 0 && errno == ENOENT;
  std::string place = path.string();
  const size_t root = place.size();
  return std::all_of(stamps.entries.begin(), stamps.entries.end(), [&](const KnownFile& entry) {
    place.resize(root);
    if (!entry.path.empty()) (place += '/') += entry.path;
    return ::stat(place.c_str(), &info) == 0 && stamp_of("", info).same_stamp(entry);
  });
}

Result<FileTree> FileHashes::tree(const fs::path& path, Skip skip, TreeStamps* stamps) const {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return FileTree{{}, sha256_hex("")};
    return tl::unexpected<Error>(errno_error("look at " + path.string(), errno));
  }
  std::error_code ignored;  // it exists
  const fs::path root = S_ISDIR(info.st_mode) ? fs::absolute(path) : fs::canonical(path, ignored);
  const int64_t looked_at = now_ns();
  std::vector<KnownFile> files;
  if (S_ISDIR(info.st_mode)) {
    files = TRY(Lister(root, skip, own_, stamps != nullptr ? &stamps->entries : nullptr).list());
  } else {
    files.push_back(stamp_of("", info));
  }
  if (stamps != nullptr) keep_stamps(files, looked_at, *stamps);
  fs::path memory = folder_ / (sha256_hex(root.string() + (skip != nullptr ? "\n-" : "")) + ".hashes");
  std::vector<KnownFile> known;
  if (!folder_.empty()) known = decode_known(read_file(memory).value_or(""));
  const size_t known_count = known.size();
  std::vector<KnownFile*> unknown = recall(files, std::move(known));
  TRY(hash_files(root, unknown));
  for (KnownFile* file : unknown) file->settled = is_settled(*file, looked_at);
  if (!folder_.empty() && (!unknown.empty() || files.size() != known_count)) {
    TRY(make_dirs(folder_));
    TRY(write_file_atomic(memory, encode_known(files), Durable::no));
  }
  FileTree tree{{}, digest_of_files(files)};
  tree.files.reserve(files.size());
  for (auto& file : files) tree.files.push_back({std::move(file.path), file.size, std::move(file.sha256)});
  return tree;
}

Result<std::string> FileHashes::file(const fs::path& path) const {
  FileTree found = TRY(tree(path));
  if (found.files.size() != 1 || !found.files[0].path.empty())
    return fail(Code::kNotFound, "there is no file {}", path.string());
  return found.files[0].sha256;
}

std::string_view to_string(Difference::What what) {
  switch (what) {
    case Difference::What::kMissing:
      return "missing";
    case Difference::What::kAdded:
      return "was not made by the step";
    case Difference::What::kChanged:
      return "changed or damaged";
  }
  return "";
}

std::vector<Difference> differences(std::vector<ArtifactEntry> recorded,
                                    const std::vector<ArtifactEntry>& found) {
  std::sort(recorded.begin(), recorded.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  std::vector<Difference> all;
  auto a = recorded.begin();
  auto b = found.begin();
  while (a != recorded.end() || b != found.end()) {
    if (b == found.end() || (a != recorded.end() && a->path < b->path)) {
      all.push_back({(a++)->path, Difference::What::kMissing});
    } else if (a == recorded.end() || b->path < a->path) {
      all.push_back({(b++)->path, Difference::What::kAdded});
    } else {
      if (a->sha256 != b->sha256) all.push_back({a->path, Difference::What::kChanged});
      ++a, ++b;
    }
  }
  return all;
}

}  // namespace tidemill::engine
