#include "engine/artifact_index.h"

#include <fcntl.h>

#include <atomic>
#include <thread>

#include "base/hash.h"

namespace tidemill::engine {
namespace {

using tracking::ArtifactEntry;

Result<std::vector<ArtifactEntry>> list_files(const fs::path& folder) {
  std::vector<ArtifactEntry> files;
  std::error_code error;
  if (!fs::exists(folder, error)) return files;
  const size_t prefix = folder.string().size() + 1;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_symlink(ignored) || !it->is_regular_file(ignored)) continue;
    files.push_back({it->path().string().substr(prefix), 0, ""});
  }
  if (error) return tl::unexpected<Error>(errno_error("list " + folder.string(), error.value()));
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

// Most files of a data set are small: one read, one hash, one buffer for all of them, and no walk from the
// root of the file system to each.
Result<> hash_file(const Fd& folder, ArtifactEntry& entry, std::vector<char>& buffer) {
  Fd file(::openat(folder.get(), entry.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return tl::unexpected<Error>(errno_error("open " + entry.path, errno));
  Sha256 sha;
  for (;;) {
    size_t got = TRY_IN(entry.path, read_some(file, buffer));
    sha.update({buffer.data(), got});
    entry.size += got;
    if (got < buffer.size()) break;
  }
  entry.sha256 = sha.hex();
  return {};
}

}  // namespace

Result<std::vector<ArtifactEntry>> index_artifacts(const fs::path& folder) {
  std::vector<ArtifactEntry> files = TRY(list_files(folder));
  if (files.empty()) return files;
  const Fd root = TRY(open_file(folder, O_RDONLY | O_DIRECTORY));
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  Result<> outcome;
  auto work = [&] {
    std::vector<char> buffer(1 << 18);
    constexpr size_t kBatch = 64;
    for (size_t start; (start = next.fetch_add(kBatch)) < files.size();)
      for (size_t i = start; i < std::min(start + kBatch, files.size()); ++i)
        if (auto hashed = hash_file(root, files[i], buffer); !hashed) {
          std::lock_guard lock(mutex);
          outcome = std::move(hashed);
        }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < std::thread::hardware_concurrency() && files.size() > 64; ++i)
    threads.emplace_back(work);
  work();
  threads.clear();
  TRY_IN(folder.string(), std::move(outcome));
  return files;
}

}  // namespace tidemill::engine
